# SPDX-License-Identifier: Apache-2.0
"""Equivalence classes of DAGs: the CPDAG that a partly directed graph stands for.

Sources: D. Dor, M. Tarsi, A simple algorithm to construct a consistent extension of a partially
oriented graph, 1992; D. M. Chickering, A Transformational Characterization of Equivalent Bayesian
Network Structures, UAI 1995 (labelling edges).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca_engine.discovery._bits import Bits, members
from rca_engine.methods._scores import Mask


@dataclass(frozen=True)
class Pattern:
    """A partly directed graph, as sets of bits.

    Each metric's parents, undirected neighbours, all of its links, and those but its parents.
    """

    parents: list[Bits]
    neighbours: list[Bits]
    adjacent: list[Bits]
    onward: list[Bits]

    @classmethod
    def of(cls, parents: list[Bits], neighbours: list[Bits]) -> Pattern:
        """Make one of its links."""
        adjacent = [mine | near for mine, near in zip(parents, neighbours, strict=True)]
        for child, mine in enumerate(parents):
            for parent in members(mine):
                adjacent[parent] |= 1 << child
        onward = [around & ~mine for around, mine in zip(adjacent, parents, strict=True)]
        return cls(parents, neighbours, adjacent, onward)

    def causes(self) -> Mask:
        """Return where ``i`` is, or may be, a cause of ``j``; shape (n, n)."""
        n = len(self.parents)
        causes = np.zeros((n, n), dtype=bool)
        for j in range(n):
            causes[list(members(self.parents[j] | self.neighbours[j])), j] = True
        return causes


def reaches(pattern: Pattern, start: int, goal: int, blocked: Bits) -> bool:
    """Return whether a path from ``start`` to ``goal`` follows directed links, or undirected ones.

    ``blocked`` is what the path may not pass.
    """
    goal_bit = 1 << goal
    seen, front = blocked | 1 << start, 1 << start
    while front:
        lowest = front & -front
        found = pattern.onward[lowest.bit_length() - 1]
        if found & goal_bit:
            return True
        front = (front ^ lowest) | (found & ~seen)
        seen |= found
    return False


def completed(pattern: Pattern) -> Pattern | None:
    """Return the CPDAG of the DAGs that a pattern stands for; None if there are none."""
    extension = _extension(pattern)
    return None if extension is None else _labelled(*extension)


def _extension(pattern: Pattern) -> tuple[list[Bits], list[int]] | None:
    """Return the parents of a DAG with the pattern's links and colliders, and its order."""
    parents = list(pattern.parents)
    remaining, backwards = (1 << len(parents)) - 1, []
    while remaining:
        sink = next((each for each in members(remaining) if _can_end(pattern, each, remaining)), -1)
        if sink < 0:
            return None
        parents[sink] |= pattern.neighbours[sink] & remaining
        remaining &= ~(1 << sink)
        backwards.append(sink)
    return parents, backwards[::-1]


def _can_end(pattern: Pattern, node: int, remaining: Bits) -> bool:
    """Return whether all links of ``node`` may point to it without a new collider."""
    around = pattern.adjacent[node] & remaining
    near = pattern.neighbours[node] & remaining
    if around & ~near & ~pattern.parents[node]:
        return False
    return all(not (around & ~pattern.adjacent[each] & ~(1 << each)) for each in members(near))


def _labelled(parents: list[Bits], order: list[int]) -> Pattern:
    """Return the CPDAG of a DAG whose metrics are in ``order``, causes first."""
    rank = {node: place for place, node in enumerate(order)}
    compelled = [0] * len(parents)
    for y in order:
        if not parents[y]:
            continue
        x = max(members(parents[y]), key=rank.__getitem__)
        forced = compelled[x] & ~parents[y] or parents[y] & ~parents[x] & ~(1 << x)
        compelled[y] = parents[y] if forced else compelled[x]
    reversible = [mine & ~sure for mine, sure in zip(parents, compelled, strict=True)]
    neighbours = list(reversible)
    for y, mine in enumerate(reversible):
        for x in members(mine):
            neighbours[x] |= 1 << y
    return Pattern.of(compelled, neighbours)
