# SPDX-License-Identifier: Apache-2.0
"""Which metrics are linked: the skeleton of PC-stable, the same for every order of columns.

Source: D. Colombo, M. H. Maathuis, Order-Independent Constraint-Based Causal Structure Learning,
JMLR 15, 2014, Algorithm 4.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rca_engine.discovery.independence import FisherZ
from rca_engine.methods._scores import Floats, Ints, Mask


@dataclass(frozen=True)
class Skeleton:
    """Links between metrics, and what separated those that have none.

    Parameters
    ----------
    adjacent
        Shape (n, n), symmetric.
    separators
        Shape (n, n, n): ``separators[i, j, k]`` where ``k`` is in the set that separated ``i`` and
        ``j``.
    statistics
        Shape (n, n): |z| of the test that separated ``i`` and ``j``, the smaller the surer;
        infinite where they are adjacent.
    """

    adjacent: Mask
    separators: Mask
    statistics: Floats


def skeleton(test: FisherZ, alpha: float, max_order: int) -> Skeleton:
    """Find the links by conditioning on ever more neighbours.

    The neighbours are fixed for each order, as in the paper. Of the sets of that order which
    separate two metrics the one with the largest p-value counts (as J. Ramsey proposes for PC-Max,
    arXiv 1610.00378), where the paper takes the first found, which depends on the order of columns.

    Parameters
    ----------
    test
        The test of independence.
    alpha
        Significance level: a link stays if its p-value is at most this.
    max_order
        Most metrics to condition on.

    Raises
    ------
    MethodError
        If ``alpha`` is no probability or the steps are too few.
    """
    n, critical = test.size, test.critical(alpha)
    adjacent = ~np.eye(n, dtype=bool)
    statistics = np.full((n, n), np.inf)
    separators = np.zeros((n, n, n), dtype=bool)
    for order in range(max_order + 1):
        weakest, sets = _weakest(test, adjacent, order)
        apart = adjacent & (np.minimum(weakest, weakest.T) < critical)
        for i, j in np.argwhere(np.triu(apart)):
            chosen = sets[i, j] if weakest[i, j] <= weakest[j, i] else sets[j, i]
            separators[i, j, chosen] = separators[j, i, chosen] = True
            statistics[i, j] = statistics[j, i] = min(weakest[i, j], weakest[j, i])
        adjacent &= ~apart
        if adjacent.sum(axis=1).max(initial=0) <= order + 1:
            break
    return Skeleton(adjacent, separators, statistics)


def weakest_link(test: FisherZ, target: int, others: Ints, order: int) -> tuple[Floats, Ints]:
    """Return how weak each link of ``target`` gets, given sets of its other neighbours.

    Parameters
    ----------
    test
        The test of independence.
    target
        A metric.
    others
        Shape (others,): what it is linked with, and conditioned on.
    order
        Metrics in each set.

    Returns
    -------
    statistics, sets
        Shapes (others,) and (others, order): the smallest |z| over all sets, and the metrics of
        that set; infinite, and -1, where there is no set of this order.
    """
    found = np.full(others.size, np.inf)
    chosen = np.full((others.size, order), -1, dtype=np.int64)
    for sets in _subsets(others.size, order, test.block(others.size, order)):
        statistics = test.of_target(target, others, sets)
        least = statistics.argmin(axis=0)
        value = statistics[least, np.arange(others.size)]
        better = value < found
        found[better] = value[better]
        chosen[better] = others[sets[least[better]]]
    return found, chosen


def _weakest(test: FisherZ, adjacent: Mask, order: int) -> tuple[Floats, Ints]:
    n = test.size
    weakest = np.full((n, n), np.inf)
    sets = np.full((n, n, order), -1, dtype=np.int64)
    for target in range(n):
        others = np.flatnonzero(adjacent[target])
        if others.size > order:
            weakest[target, others], sets[target, others] = weakest_link(
                test, target, others, order
            )
    return weakest, sets


def _subsets(size: int, order: int, block: int) -> Iterator[Ints]:
    """Yield all sets of ``order`` of the first ``size`` numbers, shape (sets, order), in blocks."""
    every = itertools.combinations(range(size), order)
    while chunk := list(itertools.islice(every, block)):
        yield np.array(chunk, dtype=np.int64).reshape(len(chunk), order)
