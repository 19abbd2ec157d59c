# SPDX-License-Identifier: Apache-2.0
"""A random ranking, the measure for all others: what does not beat it has learned nothing.

It says of itself that it is one: its result is always degraded.
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.methods import method
from rca_engine.methods._components import components
from rca_engine.ranking import Candidate, Context, Ranking


@method("dummy", sources={"metrics"}, paper="none: a control")
def rank(case: CaseView, context: Context) -> Ranking:
    """Put the components in random order, whatever the telemetry says (a control)."""
    names = components(case)
    order = context.rng().permutation(len(names))
    return Ranking(
        tuple(
            Candidate(names[index], 1.0 / place) for place, index in enumerate(order.tolist(), 1)
        ),
        time_ns=context.time_ns,
        degraded="random order: the telemetry was not looked at",
    )
