# SPDX-License-Identifier: Apache-2.0
"""Always the same answer: what knowing the system is worth without looking at its telemetry.

The best constant guess of a data set, which is the component that is most often guilty in its
other cases, can't be known to a method that sees one case; an evaluation can work it out from the
truths, and is where it belongs. What a method can do without telemetry is to suspect the component
that most others touch: order of the number of neighbours in the topology and, where that says
nothing, of names. The order is the same for all cases of one system.
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.methods import method
from rca_engine.methods._components import components
from rca_engine.ranking import Candidate, Context, Ranking


@method("constant_guess", sources={"metrics"}, paper="none: a control")
def rank(case: CaseView, context: Context) -> Ranking:
    """Put the components in one fixed order, the most connected first (a control)."""
    neighbours: dict[str, set[str]] = {name: set() for name in components(case)}
    for edge in case.topology.edges:
        for here, there in ((edge.source, edge.target), (edge.target, edge.source)):
            if here in neighbours and here != there:
                neighbours[here].add(there)
    order = sorted(neighbours, key=lambda name: (-len(neighbours[name]), name))
    return Ranking(
        tuple(Candidate(name, float(len(neighbours[name]))) for name in order),
        time_ns=context.time_ns,
        degraded="a fixed order: the telemetry was not looked at",
    )
