# SPDX-License-Identifier: Apache-2.0
"""MonitorRank: a random walk over the call graph, drawn to what moves like the front end.

Section 4.2 of the paper, with S_i the similarity of component i's response to the alert's:

- forward, from i to a callee j, with weight S_j;
- backward, from i to a caller j, with weight rho S_j, so that the walk leaves a dead end;
- staying at i, other than the entry, with weight max(0, S_i - the largest S_j of its callees);
- with probability 1 - damping a jump, to i in proportion to S_i, never to the entry.

The score is the stationary distribution, here by one linear solve.

Departures from the paper: the similarity is the absolute correlation over the incident and as long
before it; the pseudo-anomaly clustering (section 4.1) is left out, for it learns external factors
from past incidents, which a case does not hold. What a component runs on or is part of counts as a
callee. The entry is the alert's component. As in the paper an anomaly is taken for granted: there
is always a culprit.
"""

from __future__ import annotations

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._responses import ranked, responses
from rca_engine.methods._scores import Floats, Mask
from rca_engine.methods._topology import entry, graph_of, observe, personalised_pagerank
from rca_engine.methods._windows import WindowOptions
from rca_engine.ranking import Context, Ranking


@method(
    "monitorrank",
    sources={"metrics"},
    paper="Kim, Sumbaly, Shah, Root Cause Detection in a Service-Oriented Architecture, "
    "SIGMETRICS 2013",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
    damping: float = 0.85,
    rho: float = 0.1,
) -> Ranking:
    """Rank components by a walk over the call graph, drawn to what moves like the alert.

    Parameters
    ----------
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`.
    damping
        Probability of a step rather than a jump, from 0 to below 1.
    rho
        Weight of a step to a caller, from 0 to below 1.

    Raises
    ------
    MethodError
        If there is no topology or no alert in it, a window is too short or an option out of range.
    """
    if not (0.0 <= damping < 1.0 and 0.0 <= rho < 1.0):
        raise MethodError(f"damping and rho must be from 0 to below 1, got {damping} and {rho}")
    graph = graph_of(case, "monitorrank")
    start = entry(graph.components, context, "monitorrank")
    data = observe(case, context, WindowOptions(guard_s, horizon_s))
    found = responses(graph.components, data, context, case.step_s)
    if found.column[start] < 0:
        raise MethodError(
            f"monitorrank compares with the series of the alert's component, and the case has none "
            f"of {graph.components[start]}: harvest it, or alert on a component that is measured"
        )
    similarity = found.similarity(start)
    jumps = np.where(np.arange(similarity.size) == start, 0.0, similarity)
    weights = walk(graph.depends, similarity, rho, start)
    scores = personalised_pagerank(weights, jumps, damping)
    return Ranking(ranked(scores, found.column >= 0, found, data), time_ns=data.start_ns)


def walk(depends: Mask, similarity: Floats, rho: float, start: int) -> Floats:
    """Return the weights of the walk's steps (section 4.2).

    Parameters
    ----------
    depends
        Shape (n, n): whether the row's component calls, or runs on, the column's.
    similarity
        Shape (n,), from 0 to 1.
    rho
        Weight of the way back.
    start
        The entry, at which the walk does not stay.

    Returns
    -------
    Floats
        Shape (n, n), at least 0: not normalised.
    """
    forward = np.where(depends, similarity, 0.0)
    backward = np.where(depends.T, rho * similarity, 0.0)
    weights = np.where(depends, forward, backward)
    stays = np.maximum(0.0, similarity - forward.max(axis=1))
    stays[start] = 0.0
    np.fill_diagonal(weights, stays)
    return weights
