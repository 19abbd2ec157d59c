# SPDX-License-Identifier: Apache-2.0
"""Greedy equivalence search: the CPDAG with the best BIC that adding, then deleting, links finds.

The BIC of linear-Gaussian metrics needs the correlation matrix only, and for one set of parents
the gain of every further one follows at once: those gains are computed once for each set. After a
step only operators near the changed links are looked at again (as fGES does: J. Ramsey et al.,
IJDSA 3, 2017).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rca_engine.discovery import causal_learn
from rca_engine.discovery._bits import Bits, cliques, members
from rca_engine.discovery._equivalence import Pattern, completed, reaches
from rca_engine.discovery.causal_learn import Backend
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import correlation, explained_by
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats

_DETERMINED = 1e-9
"""Share of a metric's variance that is left when others determine it: it gains no more parents."""
_ROUNDING = 1e-6
"""A gain in BIC that is none."""


def discover(values: Floats, *, penalty: float = 1.0, backend: Backend = "own") -> CausalGraph:
    """Discover the CPDAG of linear-Gaussian metrics.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN.
    penalty
        Factor on the BIC's price of a link; 1 is the BIC.
    backend
        ``own``, or ``causal-learn``.

    Returns
    -------
    CausalGraph
        Directed and undirected links, no weights.

    Raises
    ------
    MethodError
        If ``penalty`` is not above 0, or causal-learn is asked for and not installed or refuses
        the data.

    References
    ----------
    D. M. Chickering, Optimal Structure Identification With Greedy Search, JMLR 3, 2002.
    """
    if penalty <= 0:
        raise MethodError(f"penalty must be above 0, got {penalty}")
    if causal_learn.chosen(backend):
        return causal_learn.ges(values, penalty)
    gains = _Gains(correlation(values), values.shape[0], penalty)
    nothing = [0] * values.shape[1]
    found = _climb(Pattern.of(nothing, list(nothing)), gains, _insertions)
    found = _climb(found, gains, _deletions)
    return CausalGraph.directed(found.causes())


@dataclass(frozen=True)
class _Gains:
    """How much the BIC of a metric gains by one parent more, given those it has."""

    correlation: Floats
    steps: int
    penalty: float
    known: dict[tuple[int, Bits], Floats] = field(default_factory=dict)

    def of(self, y: int, parents: Bits, x: int) -> float:
        """Return the gain by ``x``."""
        key = (y, parents)
        if key not in self.known:
            self.known[key] = self._all(y, list(members(parents)))
        return float(self.known[key][x])

    def _all(self, y: int, parents: list[int]) -> Floats:
        """Return the gain by each metric; shape (n,)."""
        given = np.array(parents, dtype=np.int64)
        explained = explained_by(self.correlation[given][None], given[None])[0]
        left = 1.0 - (explained**2).sum(axis=0)
        covariance = self.correlation[y] - explained[:, y] @ explained
        usable = (left > _DETERMINED) & (left[y] > _DETERMINED)
        squared = np.divide(covariance**2, left * left[y], out=np.zeros_like(left), where=usable)
        fit = -self.steps * np.log1p(-np.minimum(squared, 1.0 - 1e-12))
        gains: Floats = fit - self.penalty * np.log(self.steps)
        return gains


@dataclass(frozen=True)
class _Operator:
    """A step to a neighbouring class: link ``x`` to ``y``, or unlink them.

    ``given`` are the neighbours of ``y`` that become or stay its parents in the step: Chickering's
    NA and T, or NA without H.
    """

    gain: float
    x: int
    y: int
    given: Bits

    def applied(self, pattern: Pattern, *, insert: bool) -> Pattern | None:
        """Return the class after the step; None if the step is not valid."""
        if insert and reaches(pattern, self.y, self.x, self.given):
            return None
        parents, neighbours = list(pattern.parents), list(pattern.neighbours)
        if insert:
            parents[self.y] |= 1 << self.x
            turned = self.given & ~pattern.adjacent[self.x]
            _direct(parents, neighbours, turned, self.y)
        else:
            parents[self.y] &= ~(1 << self.x)
            _separate(neighbours, self.x, self.y)
            common = pattern.neighbours[self.y] & pattern.adjacent[self.x] & ~self.given
            for each in members(common):
                _direct(parents, neighbours, 1 << self.y, each)
                _direct(parents, neighbours, neighbours[each] & 1 << self.x, each)
        return completed(Pattern.of(parents, neighbours))


def _direct(parents: list[Bits], neighbours: list[Bits], sources: Bits, target: int) -> None:
    """Point the undirected links between ``sources`` and ``target`` to ``target``."""
    parents[target] |= sources
    for each in members(sources):
        _separate(neighbours, each, target)


def _separate(neighbours: list[Bits], x: int, y: int) -> None:
    neighbours[x] &= ~(1 << y)
    neighbours[y] &= ~(1 << x)


_Operators = Callable[[Pattern, _Gains, int, int], Iterator[_Operator]]


def _insertions(pattern: Pattern, gains: _Gains, x: int, y: int) -> Iterator[_Operator]:
    """Yield the ways to link ``x`` to ``y`` that gain; Chickering's definition 12, theorem 15."""
    if x == y or pattern.adjacent[y] >> x & 1:
        return
    near = pattern.neighbours[y]
    common = near & pattern.adjacent[x]
    for turned in cliques(common, near & ~common, pattern.adjacent):
        given = common | turned
        gain = gains.of(y, given | pattern.parents[y], x)
        if gain > _ROUNDING:
            yield _Operator(gain, x, y, given)


def _deletions(pattern: Pattern, gains: _Gains, x: int, y: int) -> Iterator[_Operator]:
    """Yield the ways to unlink ``x`` from ``y`` that gain; definition 13, theorem 17."""
    if not (pattern.parents[y] | pattern.neighbours[y]) >> x & 1:
        return
    for kept in cliques(0, pattern.neighbours[y] & pattern.adjacent[x], pattern.adjacent):
        gain = -gains.of(y, (kept | pattern.parents[y]) & ~(1 << x), x)
        if gain > _ROUNDING:
            yield _Operator(gain, x, y, kept)


def _climb(pattern: Pattern, gains: _Gains, operators: _Operators) -> Pattern:
    """Take the best valid step until none gains."""
    insert, n = operators is _insertions, len(pattern.parents)
    choices: dict[tuple[int, int], list[_Operator]] = {}
    stale = [(x, y) for y in range(n) for x in range(n)]
    while True:
        for x, y in stale:
            choices.pop((x, y), None)
            found = sorted(operators(pattern, gains, x, y), key=lambda each: -each.gain)
            if found:
                choices[x, y] = found
        after = _best_step(pattern, choices, insert=insert)
        if after is None:
            return pattern
        stale, pattern = list(_touched(pattern, after)), after


def _best_step(
    pattern: Pattern, choices: dict[tuple[int, int], list[_Operator]], *, insert: bool
) -> Pattern | None:
    """Return the class after the valid step of the greatest gain; None if there is none."""
    queue = [(-found[0].gain, pair, 0) for pair, found in choices.items()]
    heapq.heapify(queue)
    while queue:
        _, pair, at = queue[0]
        options = choices[pair]
        after = options[at].applied(pattern, insert=insert)
        if after is not None:
            return after
        if at + 1 < len(options):
            heapq.heapreplace(queue, (-options[at + 1].gain, pair, at + 1))
        else:
            heapq.heappop(queue)
    return None


def _touched(before: Pattern, after: Pattern) -> Iterator[tuple[int, int]]:
    """Yield the pairs (x, y) whose steps may differ from before."""
    nodes = range(len(before.parents))
    changed = sum(
        1 << each
        for each in nodes
        if before.parents[each] != after.parents[each]
        or before.neighbours[each] != after.neighbours[each]
        or before.adjacent[each] != after.adjacent[each]
    )
    for y in nodes:
        # A clique among its neighbours may have come or gone.
        inside = (after.neighbours[y] & changed).bit_count() >= 2
        whole = changed >> y & 1 or inside
        yield from ((x, y) for x in (nodes if whole else members(changed)))
