# SPDX-License-Identifier: Apache-2.0
"""SPOT: the limit that a normal value exceeds with a given small probability, from extremes alone.

Source: Siffer, Fouque, Termier, Largouët, Anomaly Detection in Streams with Extreme Value Theory,
KDD 2017 (section 3.2: peaks over threshold). The excesses over a high quantile follow a generalised
Pareto distribution (GPD), whatever the metric's own.

Departures: the normal window calibrates the limit and no later value moves it, as both windows are
known; the GPD is fitted by probability-weighted moments (Hosking, Wallis, Technometrics 29, 1987),
closed-form for all metrics at once and steadier than likelihood on few peaks.
"""

from __future__ import annotations

import numpy as np

from rca_engine.methods._scores import Floats

_SHAPES = (-0.5, 0.5)
"""Range of the GPD's shape in which its moments, and so the fit, mean anything."""
_LEAST_PEAKS = 3


def limits(normal: Floats, *, risk: float = 1e-3, level: float = 0.9) -> Floats:
    """Return the value that each metric exceeds with probability ``risk``, shape (metrics,).

    Parameters
    ----------
    normal
        Shape (steps, metrics), no NaN: the normal window.
    risk
        Probability that one normal value lies above the limit.
    level
        Quantile from which values count as extreme.
    """
    steps = normal.shape[0]
    peaks = min(max(round(steps * (1.0 - level)), _LEAST_PEAKS), steps - 1)
    ordered = np.sort(normal, axis=0)
    start = ordered[-peaks - 1]
    excess = ordered[-peaks:] - start
    mean = excess.mean(axis=0)
    later = ((peaks - 1 - np.arange(peaks)) / (peaks - 1))[:, None]
    weighted = (later * excess).mean(axis=0)
    spread = mean - 2.0 * weighted
    ratio = np.divide(mean, spread, out=np.full_like(mean, 2.0), where=spread > 0)
    shape = np.clip(2.0 - ratio, *_SHAPES)
    scale = mean * (1.0 - shape)
    share = risk * steps / peaks
    flat = np.abs(shape) < 1e-6
    growth = (share**-shape - 1.0) / np.where(flat, 1.0, shape)
    tail: Floats = np.where(flat, -np.log(share), growth)
    # A risk above the share of peaks would put the limit below the extremes.
    limit: Floats = start + scale * np.maximum(tail, 0.0)
    return limit
