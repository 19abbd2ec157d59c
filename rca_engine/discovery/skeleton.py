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
    nothing = np.zeros((n, n, n), dtype=bool)
    found = Skeleton(~np.eye(n, dtype=bool), nothing, np.full((n, n), np.inf))
    for order in range(max_order + 1):
        found = separate(test, found, critical, order, found.adjacent)
        if found.adjacent.sum(axis=1).max(initial=0) <= order + 1:
            break
    return found


def separate(test: FisherZ, found: Skeleton, critical: float, order: int, around: Mask) -> Skeleton:
    """Remove the links that sets of one order separate.

    Parameters
    ----------
    test
        The test of independence.
    found
        The links so far.
    critical
        |z| below which two metrics count as independent.
    order
        Metrics in each set.
    around
        Shape (n, n): ``around[i, k]`` where the sets for the links of ``i`` may have ``k``.
    """
    weakest, sets = _weakest(test, found.adjacent, around, order)
    apart = found.adjacent & (np.minimum(weakest, weakest.T) < critical)
    separators = found.separators.copy()
    for i, j in np.argwhere(np.triu(apart)):
        chosen = sets[i, j] if weakest[i, j] <= weakest[j, i] else sets[j, i]
        separators[i, j, chosen] = separators[j, i, chosen] = True
    statistics = np.where(apart, np.minimum(weakest, weakest.T), found.statistics)
    return Skeleton(found.adjacent & ~apart, separators, statistics)


def _weakest(test: FisherZ, adjacent: Mask, around: Mask, order: int) -> tuple[Floats, Ints]:
    """Return the smallest |z| of each link over all sets of its first metric, and that set."""
    n = test.size
    weakest = np.full((n, n), np.inf)
    sets = np.full((n, n, order), -1, dtype=np.int64)
    for target in range(n):
        linked, pool = np.flatnonzero(adjacent[target]), np.flatnonzero(around[target])
        if not linked.size:
            continue
        for places in _subsets(pool.size, order, test.block(linked.size, order)):
            given = pool[places]
            statistics = test.of_target(target, linked, given)
            least = statistics.argmin(axis=0)
            value = statistics[least, np.arange(linked.size)]
            better = value < weakest[target, linked]
            weakest[target, linked[better]] = value[better]
            sets[target, linked[better]] = given[least[better]]
    return weakest, sets


def _subsets(size: int, order: int, block: int) -> Iterator[Ints]:
    """Yield all sets of ``order`` of the first ``size`` numbers, shape (sets, order), in blocks."""
    every = itertools.combinations(range(size), order)
    while chunk := list(itertools.islice(every, block)):
        yield np.array(chunk, dtype=np.int64).reshape(len(chunk), order)
