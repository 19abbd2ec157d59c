# SPDX-License-Identifier: Apache-2.0
"""MicroCause: a walk from the alert over lagged causes, and how anomalous each metric is.

Source: Meng et al., Localizing Failure Root Causes in a Microservice through Causality Inference,
IWQoS 2020: PCTS (section IV.B; here PCMCI, ``discovery.pcmci``), anomaly score eta by SPOT (IV.C),
temporal cause oriented random walk TCORW (IV.D).

The walk starts at the metric that alerted, told by the context and by nothing else.

Departures: the walk is solved as a linear system with a small share of returns to the start, not
simulated; eta is measured on distances from the normal median in interquartile ranges, both ways,
so that no unit weighs more; it takes the median of the anomalous window and not its maximum
(``quantile`` 1.0); both parts are scaled by their largest value before they are added.
"""

from __future__ import annotations

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery import pcmci
from rca_engine.discovery.independence import correlation
from rca_engine.errors import MethodError
from rca_engine.methods import _spot, method
from rca_engine.methods._heads import RandomWalk
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._suspects import Options, Suspects, gather
from rca_engine.ranking import Context, Ranking

_LEAST_RELEVANCE = 1e-3
"""A link that the tests found is never walked with no weight at all."""
_RIDGE = 1e-6


@method(
    "microcause",
    sources={"metrics"},
    paper="Meng et al., Localizing Failure Root Causes in a Microservice through Causality "
    "Inference, IWQoS 2020",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    max_lag: int = 3,
    alpha: float = 0.05,
    contemporaneous: bool = True,
    backward: float = 0.2,
    restart: float = 0.05,
    walk_share: float = 0.5,
    risk: float = 1e-3,
    limit: int = Options.limit,
    quantile: float = Options.quantile,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by a walk from the alert over lagged causes and by how anomalous they are."""
    if not 0 <= walk_share <= 1 or not 0 < risk < 1:
        raise MethodError("walk_share must be from 0 to 1, and risk between 0 and 1")
    options = Options(limit, quantile, guard_s, horizon_s, threshold)
    suspects = gather(case, context, options, symptoms=True)
    if suspects.nothing_happened:
        return suspects.no_fault()
    start, note = suspects.start(context)
    values = suspects.values[suspects.span]
    graph = pcmci.discover(values, max_lag=max_lag, alpha=alpha, contemporaneous=contemporaneous)
    visits = RandomWalk(backward, restart).scores(
        graph, suspects.trouble(start, relevance(values, graph.causes(), start))
    )
    if not visits.any():
        note = f"{note}; " if note else ""
        note += "no link leads from the metric that the walk starts at: ranked by anomaly alone"
    score = walk_share * _scaled(visits) + (1 - walk_share) * _scaled(eta(suspects, risk))
    return suspects.ranking(score, note or None)


def relevance(values: Floats, causes: Mask, start: int) -> Floats:
    """Return |partial correlation| of each metric with the start given the parents of both.

    Parameters
    ----------
    values
        Shape (steps, n).
    causes
        Shape (n, n): ``causes[i, j]`` where ``i`` is a parent of ``j``.
    start
        Where the walk starts; its own entry is 1.
    """
    size = causes.shape[0]
    matrix = correlation(values) + _RIDGE * np.eye(size)
    strength = np.ones(size)
    for other in np.flatnonzero(np.arange(size) != start).tolist():
        given = causes[:, start] | causes[:, other]
        given[[start, other]] = False
        nodes = np.concatenate([[start, other], np.flatnonzero(given)])
        precision = np.linalg.inv(matrix[np.ix_(nodes, nodes)])
        strength[other] = abs(precision[0, 1]) / np.sqrt(precision[0, 0] * precision[1, 1])
    return np.maximum(strength, _LEAST_RELEVANCE)


def eta(suspects: Suspects, risk: float) -> Floats:
    """Return by which multiple of its limit each metric lies beyond it, shape (m,); 0 if inside."""
    at: Ints = suspects.chosen
    distances = (suspects.filled_distances * suspects.sign)[:, at]
    limit: Floats = _spot.limits(distances[suspects.data.normal], risk=risk)
    limit = np.maximum(limit, suspects.options.threshold)
    beyond: Floats = np.maximum(suspects.deviation[at] - limit, 0.0) / limit
    return beyond


def _scaled(values: Floats) -> Floats:
    largest = float(values.max())
    return values / largest if largest > 0 else values
