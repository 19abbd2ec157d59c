# SPDX-License-Identifier: Apache-2.0
"""CausalAI: the fault as a node of its own, and the metrics that stay linked with it.

Source: Arpit et al., Salesforce CausalAI Library, arXiv:2301.10859 (2023), root cause analysis for
continuous time series: a failure is an intervention on the root cause, PC with a node F for it, and
the metrics that F still points to are the root causes.

What F is: 0 in the normal window and 1 in the anomalous one. (The library takes a higher-level
metric; the benchmark that published figures for it passes the time stamp.)

Departures: metrics are ranked by the weakest |z| of all tests that tried to separate them from F,
which continues behind those that F points to, where the library returns a set without an order; a
test conditions on at most ``max_order`` metrics.
"""

from __future__ import annotations

import itertools

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery.independence import FisherZ
from rca_engine.discovery.skeleton import skeleton
from rca_engine.methods import method
from rca_engine.methods._scores import Floats, Ints
from rca_engine.methods._suspects import Options, gather
from rca_engine.ranking import Context, Ranking


@method(
    "causalai",
    sources={"metrics"},
    paper="Arpit et al., Salesforce CausalAI Library, arXiv:2301.10859, 2023",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = 0.01,
    max_order: int = 3,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by how hard they are to separate from the fault (PC with an F-node)."""
    suspects = gather(case, context, Options(limit, 0.5, guard_s, horizon_s, threshold))
    if suspects.nothing_happened:
        return suspects.no_fault()
    data = suspects.data
    steps = data.normal | data.anomalous
    failure = data.anomalous[steps].astype(np.float64)
    return suspects.ranking(links_with_failure(suspects.values[steps], failure, alpha, max_order))


def links_with_failure(values: Floats, failure: Floats, alpha: float, max_order: int) -> Floats:
    """Return the weakest |z| of each metric with the failure over all sets that PC tries.

    Parameters
    ----------
    values
        Shape (steps, n).
    failure
        Shape (steps,): the node F.
    alpha
        Significance level at which a link is dropped.
    max_order
        Most metrics to condition on.

    Returns
    -------
    Shape (n,). Sets are taken from what is still linked with F, and from what is linked with the
    metric in the skeleton over all of them.
    """
    test = FisherZ(np.column_stack([values, failure]))
    node = values.shape[1]
    critical = test.critical(alpha)
    weakest = np.full(node, np.inf)
    linked = np.arange(node)
    for order in range(max_order + 1):
        if linked.size <= order:
            break
        weakest[linked] = np.minimum(weakest[linked], _weakest(test, node, linked, order))
        linked = np.flatnonzero(weakest >= critical)
    adjacent = skeleton(test, alpha, max_order).adjacent
    for metric in linked:
        neighbours = np.flatnonzero(adjacent[metric, :node])
        others = np.append(neighbours, node)
        for order in range(1, min(max_order, neighbours.size) + 1):
            weakest[metric] = min(weakest[metric], _weakest(test, int(metric), others, order)[-1])
    return weakest


def _weakest(test: FisherZ, target: int, others: Ints, order: int) -> Floats:
    """Return the smallest |z| of ``target`` with each of ``others`` given ``order`` of the rest."""
    weakest = np.full(others.size, np.inf)
    every = itertools.combinations(range(others.size), order)
    while chunk := list(itertools.islice(every, test.block(others.size, order))):
        places = np.array(chunk, dtype=np.int64).reshape(len(chunk), order)
        statistics = test.of_target(target, others, others[places])
        weakest = np.minimum(weakest, statistics.min(axis=0))
    return weakest
