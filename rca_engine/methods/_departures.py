# SPDX-License-Identifier: Apache-2.0
"""How much farther than ever in normal times each metric went the bad way: arrays in, arrays out.

A deviation counts as far as it lasts: the middle one of a window's rows speaks, and never the
farthest alone. The same figure is taken of the windows of that length in the normal period, and
what they reach is the unit. So a metric that always jumps (a 99th percentile of few requests) must
jump farther, whatever its distribution; no rows need to be independent or Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rca_engine.methods._scores import Floats, Ints, Mask

_RARITY = 0.05
"""Scale, as a share of the spread over both windows, where there is no other: see ``_scores``."""
_CELLS = 8000
"""Values a metric at most that the normal windows hold together: bounds the cost."""
_SIGMA = 1.349
"""Interquartile range of a normal distribution in standard deviations."""


@dataclass(frozen=True)
class Departures:
    """How far each metric went in the bad way.

    Parameters
    ----------
    ratio
        Shape (metrics,), at least 0: the lasting deviation in units of ``scale``; above 1 is more
        than the normal windows reach.
    sign
        Shape (metrics,): 1 for up, -1 for down.
    centre, scale
        Shape (metrics,), in the metric's own unit.
    """

    ratio: Floats
    sign: Ints
    centre: Floats
    scale: Floats


def departures(
    values: Floats,
    normal: Mask,
    anomalous: Mask,
    direction: Ints,
    resolution: Floats,
    *,
    level: float,
    recent: int,
) -> Departures:
    """Return how far each metric went in the bad way.

    Parameters
    ----------
    values
        Shape (steps, metrics), NaN where unknown.
    normal, anomalous
        Shape (steps,).
    direction
        Shape (metrics,): 1 if a rise is bad, -1 if a fall is, 0 if both are.
    resolution
        Shape (metrics,): the smallest change that means anything, NaN where unknown.
    level
        Share of the normal windows that stays within the scale.
    recent
        Rows before a window whose median it must have left too, 0 for none; at most a third of the
        normal rows are used. What was as far off right before the alert did not begin with it. The
        rows before the alert are no measure of what is normal, for it may have come late.
    """
    before, during = values[normal], values[anomalous].T
    low, centre, high = np.nanquantile(before, (0.25, 0.5, 0.75), axis=0)
    spread = np.nanstd(values[normal | anomalous], axis=0)
    recent = min(recent, before.shape[0] // 3)
    up, down = (
        _one_way(sign * before, sign * during, sign * centre, level, recent, (high - low) / _SIGMA)
        for sign in (1.0, -1.0)
    )
    ratios, scales = [], []
    for reached, usual in (up, down):
        scale = np.fmax(usual, resolution)
        scale = np.where(scale > 0, scale, _RARITY * spread)
        ratio = np.divide(reached, scale, out=np.zeros_like(reached), where=scale > 0)
        ratios.append(np.where(ratio > 0, ratio, 0.0))
        scales.append(scale)
    rises = np.where(direction < 0, 0.0, ratios[0])
    falls = np.where(direction > 0, 0.0, ratios[1])
    upward = (direction > 0) | ((direction == 0) & (rises >= falls))
    return Departures(
        ratio=np.maximum(rises, falls),
        sign=np.where(upward, 1, -1),
        centre=centre,
        scale=np.where(upward, scales[0], scales[1]),
    )


def _one_way(
    before: Floats, during: Floats, centre: Floats, level: float, recent: int, spread: Floats
) -> tuple[Floats, Floats]:
    """Return how far up each metric went for long, and how far it does in normal times."""
    width = min(during.shape[1], before.shape[0] - recent)
    starts = np.arange(before.shape[0] - recent - width + 1)
    starts = starts[:: max(1, starts.size * (width + recent) // _CELLS)]
    windows = sliding_window_view(before, width, axis=0)[starts]
    usual, reached = lasting(windows - centre[:, None]), lasting(during - centre[:, None])
    if recent:
        just_before = sliding_window_view(before, recent, axis=0)
        led = starts >= recent
        level_then, level_now = _median(just_before[starts[led] - recent]), _median(just_before[-1])
        usual[led] = np.fmin(usual[led], lasting(windows[led] - level_then[:, :, None]))
        reached = np.fmin(reached, lasting(during - level_now[:, None]))
    return reached, np.fmax(_quantile(usual, level), spread)


def lasting(deviations: Floats) -> Floats:
    """Return what half of the known rows, and at least two, reach; NaN where fewer are known.

    Parameters
    ----------
    deviations
        Shape (..., rows).
    """
    ordered = np.sort(deviations, axis=-1)
    known = np.isfinite(deviations).sum(axis=-1)
    place = known - np.maximum(2, (known + 1) // 2)
    found = np.take_along_axis(ordered, np.maximum(place, 0)[..., None], axis=-1)[..., 0]
    return np.where(place >= 0, found, np.nan)


def _median(rows: Floats) -> Floats:
    """Return the median over the last axis, NaN where nothing is known, without a warning."""
    ordered = np.sort(rows, axis=-1)
    known = np.isfinite(rows).sum(axis=-1)
    middle = np.stack([np.maximum(known - 1, 0) // 2, known // 2], axis=-1)
    pair = np.take_along_axis(ordered, np.minimum(middle, rows.shape[-1] - 1), axis=-1)
    return np.where(known > 0, pair.mean(axis=-1), np.nan)


def _quantile(usual: Floats, level: float) -> Floats:
    """Return the quantile over the windows; 0 for a metric that no window knows, or below 0."""
    known = np.isfinite(usual).any(axis=0)
    found: Floats = np.zeros(usual.shape[1])
    found[known] = np.nanquantile(usual[:, known], level, axis=0)
    return np.maximum(found, 0.0)
