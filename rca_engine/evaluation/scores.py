# SPDX-License-Identifier: Apache-2.0
"""How right a ranking is, what chance and a constant guess would reach, and how sure that is.

Everything here is arithmetic on ranks; nothing knows of cases or methods.

Ties
    Neighbours in a ranking with one score are tied: their order says nothing, so a true cause among
    them counts with its chance over all orders. Names and column order can't earn a hit.
Unranked
    A true cause that is not in the ranking counts 0 everywhere, as do a failed run and an empty
    ranking where there was a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DEPTH = 5
"""AC@k is kept for k from 1 to this."""


@dataclass(frozen=True)
class Hits:
    """How well one ranking found the truth.

    Parameters
    ----------
    at
        Chance that a true cause is among the first k, for k = 1 .. ``DEPTH``; 0 or 1 without ties.
    reciprocal
        Expected 1/rank of the first true cause, 0 if none is ranked.
    """

    at: tuple[float, ...]
    reciprocal: float

    @property
    def average(self) -> float:
        """Avg@5: the mean of AC@1 .. AC@5."""
        return sum(self.at) / len(self.at)


NOTHING = Hits((0.0,) * DEPTH, 0.0)


def hits(groups: Sequence[Set[Hashable]], truth: Set[Hashable]) -> Hits:
    """Score a ranking of groups, most suspect first, the members of a group being tied.

    The first group with a true cause decides; in it the rank of the first of m true among t tied is
    that of the smallest of m draws from t without replacement.

    Parameters
    ----------
    groups
        Disjoint sets.
    truth
        What counts as right; at least one.

    Raises
    ------
    ValueError
        If ``truth`` is empty.
    """
    if not truth:
        raise ValueError("hits need a true cause")
    before = 0
    for group in groups:
        right = len(group & truth)
        if right:
            return _first_of(right, len(group), before)
        before += len(group)
    return NOTHING


def ties(ranked: Sequence[Hashable], scores: Sequence[float]) -> list[frozenset[Hashable]]:
    """Return neighbours of equal score as groups, in order."""
    groups: list[set[Hashable]] = []
    last: float | None = None
    for item, score in zip(ranked, scores, strict=True):
        if last is None or score != last:
            groups.append(set())
        groups[-1].add(item)
        last = score
    return [frozenset(group) for group in groups]


def chance(right: int, candidates: int) -> Hits:
    """Return what a random order of ``candidates`` reaches, of which ``right`` are true."""
    return _first_of(right, candidates, 0)


def constant_guess(
    seen: Sequence[Set[Hashable]], truth: Set[Hashable], candidates: Set[Hashable]
) -> Hits:
    """Score the best guess that never looks at a case: the causes seen, most frequent first.

    What was never seen as a cause follows in random order.

    Parameters
    ----------
    seen
        The true causes of other cases of the same system; with the case's own among them it is the
        best guess in hindsight.
    truth
        The case's own true causes.
    candidates
        What could be a cause in this case.
    """
    counts = Counter(each for causes in seen for each in causes if each in candidates)
    groups = [
        frozenset(each for each, count in counts.items() if count == level)
        for level in sorted(set(counts.values()), reverse=True)
    ]
    return hits([*groups, frozenset(candidates - counts.keys())], truth)


def bootstrap(
    values: Floats, rng: np.random.Generator, *, resamples: int = 2000, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the percentile bootstrap interval of each column's mean over the rows.

    The interval always holds the mean itself, which a percentile of few resamples may miss.

    Parameters
    ----------
    values
        Shape (cases, figures), without NaN.
    rng
        Draws the resamples: all figures share them.
    resamples
        How many.
    level
        The share of resampled means that the interval holds.

    Returns
    -------
    low, high
        Shape (figures,).
    """
    count = len(values)
    mean = values.mean(axis=0)
    # Each resample is how often each case was drawn: a product of matrices, and no gather.
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count
    means = drawn @ values
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.minimum(low, mean), np.maximum(high, mean)


def to_json(value: Hits | None) -> dict[str, Any] | None:
    """Write hits for a result file."""
    return None if value is None else {"at": list(value.at), "reciprocal": value.reciprocal}


def from_json(document: Mapping[str, Any] | None) -> Hits | None:
    """Read what :func:`to_json` wrote."""
    if document is None:
        return None
    return Hits(tuple(document["at"]), float(document["reciprocal"]))


def _first_of(right: int, tied: int, before: int) -> Hits:
    """Return the hits of the first of ``right`` among ``tied`` that follow ``before`` others."""
    if not 0 < right <= tied:
        raise ValueError(f"{right} true of {tied} candidates")
    # missed[j]: the chance that none of the true is among the first j of the tied.
    steps = np.arange(tied - right + 1)
    factors = (tied - right - steps[:-1]) / (tied - steps[:-1])
    missed = np.concatenate([[1.0], np.cumprod(factors)])
    missed = np.concatenate([missed, np.zeros(right)])
    place = np.clip(np.arange(1, DEPTH + 1) - before, 0, tied)
    exactly = missed[:-1] - missed[1:]
    ranks = before + np.arange(1, tied + 1)
    at = tuple(float(each) for each in 1.0 - missed[place])
    return Hits(at, float((exactly / ranks).sum()))
