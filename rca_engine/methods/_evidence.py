# SPDX-License-Identifier: Apache-2.0
"""What a metric shows of the incident, for every method that ranks metrics."""

from __future__ import annotations

import numpy as np

from rca_engine.methods import _scores
from rca_engine.methods._scores import Floats, Ints
from rca_engine.methods._windows import Windows
from rca_engine.ranking import Evidence


def evidence_of(
    data: Windows, distances: Floats, before: Floats, sign: Ints, threshold: float
) -> tuple[Evidence, ...]:
    """Return each metric's evidence, in the order of the columns.

    Parameters
    ----------
    data
        The windows.
    distances
        Shape (steps, metrics): distance from the normal centre, in normal scales.
    before
        Shape (metrics,): the normal centre.
    sign
        Shape (metrics,): 1 where the metric rose, -1 where it fell.
    threshold
        Distance that counts as the first deviation.
    """
    after = np.nanmedian(data.values[data.anomalous], axis=0)
    # A limit of at least 1 keeps the first deviation from being noise where the threshold is 0.
    first = _scores.first_beyond(distances, sign, max(threshold, 1.0), ~data.normal)
    return tuple(
        Evidence(
            before=float(before[index]),
            after=float(after[index]),
            direction="up" if sign[index] > 0 else "down",
            unit=metric.unit,
            first_deviation_ns=int(data.times[first[index]]) if first[index] >= 0 else None,
        )
        for index, metric in enumerate(data.metrics)
    )
