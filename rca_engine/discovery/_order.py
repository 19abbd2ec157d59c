# SPDX-License-Identifier: Apache-2.0
"""Improve a causal order by swapping neighbours in it: what gradients can't, for they'd pass worse.

Source: Teyssier, Koller, Ordering-Based Search, UAI 2005 (greedy swaps of adjacent metrics). Given
an order, each metric's parents are found among its predecessors by forward selection with the BIC
of linear-Gaussian metrics; a swap stays if it lowers the sum of the two BICs that it changes.
"""

from __future__ import annotations

import numpy as np

from rca_engine.methods._scores import Floats, Ints, Mask

_DETERMINED = 1e-9
"""Share of a metric's variance left when others determine it: it is no further parent."""
_PROGRESS = 1e-6
_SWEEPS = 50


class OrderSearch:
    """The BIC of each metric given its predecessors, each computed once.

    Parameters
    ----------
    correlation
        Shape (n, n).
    steps
        How many samples it is of.
    """

    def __init__(self, correlation: Floats, steps: int) -> None:
        self._correlation = correlation
        self._steps = steps
        self._known: dict[tuple[int, bytes], tuple[float, Ints]] = {}

    def improved(self, order: Ints) -> Ints:
        """Return the order, shape (n,), causes first, after all swaps that lower the BIC."""
        order = order.copy()
        for _ in range(_SWEEPS):
            swaps = sum(self._swap_if_better(order, at) for at in range(order.size - 1))
            if not swaps:
                break
        return order

    def causes(self, order: Ints) -> Mask:
        """Return the selected parents of each metric, ``[i, j]`` for ``i -> j``; shape (n, n)."""
        causes = np.zeros(self._correlation.shape, dtype=bool)
        for at, metric in enumerate(order):
            _, parents = self._select(int(metric), order[:at])
            causes[parents, metric] = True
        return causes

    def _swap_if_better(self, order: Ints, at: int) -> bool:
        before, first, second = order[:at], int(order[at]), int(order[at + 1])
        now = self._cost(first, before) + self._cost(second, order[: at + 1])
        other = self._cost(second, before) + self._cost(first, np.append(before, second))
        if other > now - _PROGRESS:
            return False
        order[at], order[at + 1] = second, first
        return True

    def _cost(self, metric: int, before: Ints) -> float:
        return self._select(metric, before)[0]

    def _select(self, metric: int, before: Ints) -> tuple[float, Ints]:
        """Return the BIC of a metric with the parents selected among ``before``, and those."""
        key = (metric, np.sort(before).tobytes())
        if key not in self._known:
            self._known[key] = self._forward(metric, np.sort(before))
        return self._known[key]

    def _forward(self, metric: int, before: Ints) -> tuple[float, Ints]:
        nodes = np.append(before, metric)
        rest = self._correlation[np.ix_(nodes, nodes)].copy()
        price, cost, parents = np.log(self._steps), 0.0, []
        while len(parents) < before.size:
            left = np.diag(rest)[:-1]
            usable = (left > _DETERMINED) & (rest[-1, -1] > _DETERMINED)
            share = np.divide(
                rest[:-1, -1] ** 2, left * rest[-1, -1], out=np.zeros_like(left), where=usable
            )
            best = int(share.argmax())
            gain = -self._steps * np.log1p(-min(share[best], 1.0 - 1e-12)) - price
            if gain <= 0:
                break
            cost -= gain
            parents.append(best)
            row = rest[best].copy()
            rest -= np.outer(row, row) / row[best]
        return cost, before[parents]
