# SPDX-License-Identifier: Apache-2.0
"""How far each metric left its normal range: arrays in, arrays out.

``values`` has the shape (steps, metrics), NaN where nothing is known; a per-metric array has the
shape (metrics,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
CentreScale = Callable[[Floats], tuple[Floats, Floats]]

_RARITY = 0.05
"""Scale, as a share of the spread over both windows, of a metric of unknown resolution that was
constant before: a lasting step scores 20 or more, whatever its unit."""
_ROUNDING = 1e-9
"""Spread, as a share of the largest value, that is rounding and no spread."""


def mean_and_deviation(normal: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each metric."""
    return np.nanmean(normal, axis=0), np.nanstd(normal, axis=0)


def median_and_iqr(normal: Floats) -> tuple[Floats, Floats]:
    """Return median and interquartile range of each metric."""
    low, centre, high = np.nanquantile(normal, (0.25, 0.5, 0.75), axis=0)
    return centre, high - low


def standardise(
    values: Floats,
    normal: Mask,
    anomalous: Mask,
    resolution: Floats,
    centre_scale: CentreScale,
) -> tuple[Floats, Floats]:
    """Return each value's distance from the normal centre in units of the normal scale.

    No metric is dropped for being constant before: error counters and throttling are, and are the
    best evidence there is. Its scale is the first of these that is above zero: the method's own;
    the standard deviation (a quartile range is 0 if three values in four are equal); the
    resolution of its unit; a share of its spread over both windows. The resolution is also the
    floor of every scale, so that a change too small to mean anything scores low.

    Parameters
    ----------
    values
        Shape (steps, metrics); each metric has a value in both windows.
    normal, anomalous
        Shape (steps,).
    resolution
        Shape (metrics,); NaN where unknown.
    centre_scale
        The method's centre and scale.

    Returns
    -------
    distances, centre
        Shapes (steps, metrics) and (metrics,).
    """
    before = values[normal]
    centre, scale = centre_scale(before)
    both = values[normal | anomalous]
    rounding = _ROUNDING * np.nanmax(np.abs(both), axis=0)
    scale = np.where(scale > rounding, scale, np.nanstd(before, axis=0))
    scale = np.fmax(np.where(scale > rounding, scale, 0.0), resolution)
    scale = np.where(scale > 0, scale, _RARITY * np.nanstd(both, axis=0))
    distances = np.divide(values - centre, scale, out=np.zeros_like(values), where=scale > 0)
    return np.where(np.isnan(values), np.nan, distances), centre


def deviation(distances: Floats, quantile: float, allowed: Ints) -> tuple[Floats, Ints]:
    """Return how far each metric went, and which way.

    Parameters
    ----------
    distances
        Shape (steps, metrics), of the anomalous window.
    quantile
        Which of the window's distances counts in each direction: 1 the farthest, 0.5 the median.
    allowed
        Shape (metrics,): 1 if only a rise counts, -1 if only a fall, 0 if both.

    Returns
    -------
    score, sign
        Shape (metrics,): at least 0; 1 for up, -1 for down.
    """
    up = np.nanquantile(distances, quantile, axis=0)
    down = -np.nanquantile(distances, 1.0 - quantile, axis=0)
    up, down = np.where(allowed < 0, 0.0, up), np.where(allowed > 0, 0.0, down)
    return np.maximum(np.maximum(up, down), 0.0), np.where(up >= down, 1, -1)


def effect(change: Floats, centre: Floats, resolution: Floats, level_share: float) -> Floats:
    """Return how much each metric changed, in units of the least change that means anything.

    That is a share of its level before. A metric whose resolution is known has that as the floor of
    its scale already, and one that was 0 has no level: neither is limited (infinite).

    Parameters
    ----------
    change
        Shape (metrics,): size of the change, in the metric's unit.
    centre, resolution
        Shape (metrics,): level before; NaN where the resolution is unknown.
    level_share
        Least meaningful change as a share of the level; 0 for no limit.
    """
    least = np.where(np.isnan(resolution), level_share * np.abs(centre), 0.0)
    return np.divide(change, least, out=np.full_like(change, np.inf), where=least > 0)


def share_out(strength: Floats, significance: Floats, groups: Ints) -> Floats:
    """Deal each group's strengths to its members in order of their significance.

    Parameters
    ----------
    strength, significance
        Shape (metrics,).
    groups
        Shape (metrics,): which members belong together.

    Returns
    -------
    Floats
        Shape (metrics,): a permutation of ``strength`` within each group. Where the two agree on
        the order within a group, or are the same, nothing changes.
    """
    dealt = np.empty_like(strength)
    by_significance = np.lexsort((strength, significance, groups))
    dealt[by_significance] = strength[np.lexsort((strength, groups))]
    return dealt


def first_beyond(distances: Floats, sign: Ints, limit: float, since: Mask) -> Ints:
    """Return the first step of ``since`` at which a metric is ``limit`` or more away, else -1."""
    beyond = (distances * sign >= limit) & since[:, None]
    return np.where(beyond.any(axis=0), beyond.argmax(axis=0), -1)


def strongest_interval(
    values: Floats, *, before: int, least: int, boundaries: int = 200
) -> tuple[int, int]:
    """Find the interval in which the metrics differ most from the rest of the time.

    Each metric is replaced by its ranks, so that no unit and no outlier weighs more than another.
    The interval is the one with the largest variance between inside and outside, summed over the
    metrics (a scan statistic, or binary segmentation with a way back).

    Parameters
    ----------
    values
        Shape (steps, metrics); an unknown value counts as neither high nor low.
    before, least
        Steps that must come before the interval, and that it must have; together at most all.
    boundaries
        How many places to consider for its ends; bounds the cost at their square times metrics.

    Returns
    -------
    start, stop
        Steps, ``stop`` exclusive.
    """
    steps = values.shape[0]
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(_ranks(values), axis=0)])
    ends = np.unique(np.linspace(0, steps, min(steps, boundaries) + 1).round().astype(np.int64))
    best, interval = -1.0, (before, steps)
    for start in ends[(ends >= before) & (ends <= steps - least)]:
        stops = ends[ends >= start + least]
        length = stops - start
        between = ((total[stops] - total[start]) ** 2).sum(axis=1) * steps / length
        between /= steps - length
        strongest = int(between.argmax())
        if between[strongest] > best:
            best, interval = float(between[strongest]), (int(start), int(stops[strongest]))
    return interval


def _ranks(values: Floats) -> Floats:
    """Return ranks centred on 0 with variance 1; equal values share a rank, unknown ones get 0."""
    ranked = np.zeros_like(values)
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column])
        _, inverse, counts = np.unique(
            values[known, column], return_inverse=True, return_counts=True
        )
        ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
        ranked[known, column] = ranks - ranks.mean() if ranks.size else 0.0
    spread = ranked.std(axis=0)
    scaled: Floats = np.divide(ranked, spread, out=np.zeros_like(ranked), where=spread > 0)
    return scaled
