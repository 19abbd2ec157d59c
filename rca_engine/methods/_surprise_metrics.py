# SPDX-License-Identifier: Apache-2.0
"""Which metrics left the range of the normal window, as a multiple of its oddest part.

A metric's score is how far the median of the anomalous window went, over the farthest median of as
many steps on end before. Metrics have heavy tails (an idle service that is called once), so the
chance level is twice what the same score reaches at most when a part of the normal window is held
against the rest of it: as far as that a quiet time goes in one time of a few.
"""

from __future__ import annotations

import numpy as np

from rca_engine.methods import _scores
from rca_engine.methods._scores import Floats, Mask
from rca_engine.methods._surprise import Finding, Surprise, strongest
from rca_engine.methods._windows import Windows
from rca_engine.ranking import Evidence

_MARGIN = 2.0
"""Chance level, as a multiple of the largest score of a part of the normal window."""
_LEAST_NORMAL = 3
"""Parts of the normal window without which nothing says how odd a metric may be."""


def in_metrics(data: Windows) -> Surprise:
    """Find metrics whose median left the range of the medians of the normal window.

    Returns
    -------
    Surprise
        Empty where the normal window is too short to say how odd a metric may be.
    """
    if not data.keys:
        return Surprise("metrics", ())
    distances, before = data.distances(_scores.median_and_iqr)
    normal, after = distances[data.normal], distances[data.anomalous]
    width = min(after.shape[0], normal.shape[0] // _LEAST_NORMAL)
    if width < 1:
        return Surprise("metrics", ())
    median = np.nanmedian(after, axis=0)
    quiet = np.abs(_rolling_median(normal, width))
    score = np.abs(median) / np.fmax(np.fmax.reduce(quiet, axis=0), 1.0)
    score = np.nan_to_num(score) / (_MARGIN * max(_quiet_level(quiet, width), 1.0))
    later = np.nanmedian(data.values[data.anomalous], axis=0)
    findings = [
        Finding(
            component,
            metric.name,
            float(score[index]),
            Evidence(
                before=float(before[index]),
                after=float(later[index]),
                direction="up" if median[index] >= 0 else "down",
                unit=metric.unit,
                first_deviation_ns=None,
            ),
        )
        for index, ((component, _), metric) in enumerate(zip(data.keys, data.metrics, strict=True))
    ]
    return Surprise("metrics", tuple(sorted(findings, key=strongest)))


def _rolling_median(values: Floats, width: int) -> Floats:
    """Return the median of every ``width`` steps on end; NaN only where none is known."""
    windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=0)
    known = np.asarray(np.isfinite(windows).any(axis=-1))
    filled = np.where(known[..., None], windows, 0.0)
    medians: Floats = np.nanmedian(filled, axis=-1)
    return np.where(known, medians, np.nan)


def _quiet_level(quiet: Floats, width: int) -> float:
    """Return the largest score that a part of the normal window gets from what it is not part of.

    ``quiet`` has the shape (windows, metrics): the distance of each rolling median.
    """
    places = np.arange(quiet.shape[0])
    largest = 0.0
    for place in range(0, quiet.shape[0], width):
        apart: Mask = np.abs(places - place) >= width
        if apart.any():
            reference = np.fmax(np.fmax.reduce(quiet[apart], axis=0), 1.0)
            largest = max(largest, float(np.fmax.reduce(quiet[place] / reference)))
    return largest
