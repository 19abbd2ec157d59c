# SPDX-License-Identifier: Apache-2.0
"""How each component responds to its callers: the one series by which a walk knows it.

MonitorRank, MicroScope and MicroRCA each look at one metric of a service, its latency. Here it is
the alert's metric where the component has it; else, of what its callers see of it (or of all, if
they see nothing), the metric that left its normal range farthest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rca_engine.methods._departures import Departures, departures
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._windows import Windows
from rca_engine.ranking import Candidate, Context, Evidence

LEVEL = 0.99
"""Share of the normal windows within which a response is normal."""
RECENT_S = 300.0
"""A response must also have left its median of this long before the alert."""
_DIRECTION = {"up": 1, "down": -1, "both": 0}
_LEAST_ROWS = 10
"""Rows before the anomalous window that a correlation looks at, at least."""
_LEAST_PAIRS = 3
"""Rows in which both series must be known to be correlated."""


@dataclass(frozen=True)
class Responses:
    """The components' responses.

    Parameters
    ----------
    components
        Ids.
    column
        Shape (n,): the response's column in the windows, -1 where nothing is measured.
    ratio
        Shape (n,): how far it left its normal range, 0 where nothing is measured; above 1 is
        unusual. See :class:`rca_engine.methods._departures.Departures`.
    series
        Shape (rows, n): the responses around the alert; NaN where unknown.
    around
        Shape (steps,): which steps those rows are.
    departed
        Of all columns.
    """

    components: tuple[str, ...]
    column: Ints
    ratio: Floats
    series: Floats
    around: Mask
    departed: Departures

    @property
    def unusual(self) -> Mask:
        """Which components respond otherwise than in normal times, shape (n,)."""
        beyond: Mask = self.ratio >= 1.0
        return beyond

    def similarity(self, component: int) -> Floats:
        """Return the absolute correlation of each response with one of them, shape (n,)."""
        return np.abs(correlations(self.series, self.series[:, component]))


def responses(
    components: Sequence[str], data: Windows, context: Context, step_s: float
) -> Responses:
    """Choose each component's response and measure how unusual it is."""
    departed = departures(
        data.values,
        data.normal,
        data.anomalous,
        directions(data),
        data.resolution(),
        level=LEVEL,
        recent=math.ceil(RECENT_S / step_s),
    )
    column = _columns(components, data, context, departed)
    around = _around(data)
    measured = column >= 0
    series = np.where(measured, data.values[around][:, column], np.nan)
    ratio = np.where(measured, departed.ratio[column], 0.0)
    return Responses(tuple(components), column, ratio, series, around, departed)


def directions(data: Windows) -> Ints:
    """Return which way is bad of each column: 1 for up, -1 for down, 0 for both."""
    return np.array([_DIRECTION[each.direction] for each in data.metrics], dtype=np.int64)


def _columns(
    components: Sequence[str], data: Windows, context: Context, departed: Departures
) -> Ints:
    mine: dict[str, list[int]] = {component: [] for component in components}
    for column, (component, _) in enumerate(data.keys):
        if component in mine:
            mine[component].append(column)
    chosen = []
    for component in components:
        same = [c for c in mine[component] if data.keys[c][1] == context.alert_metric]
        seen = [c for c in mine[component] if data.metrics[c].scope == "external"]
        among = same or seen or mine[component]
        chosen.append(max(among, key=lambda c: departed.ratio[c], default=-1))
    return np.array(chosen, dtype=np.int64)


def _around(data: Windows) -> Mask:
    """Return the anomalous rows and as many before them, what lies between included."""
    first, last = np.flatnonzero(data.anomalous)[[0, -1]]
    normal = np.flatnonzero(data.normal)
    before = normal[-min(normal.size, max(int(data.anomalous.sum()), _LEAST_ROWS)) :]
    around = np.zeros(data.times.size, dtype=np.bool_)
    around[min(before[0], first) : last + 1] = True
    return around


def correlations(values: Floats, target: Floats) -> Floats:
    """Return Pearson's correlation of each column with a series.

    Over the rows where both are known; 0 where either is constant there, or they are below three.

    Parameters
    ----------
    values
        Shape (rows, n), NaN where unknown.
    target
        Shape (rows,).

    Returns
    -------
    Floats
        Shape (n,).
    """
    both = np.isfinite(values) & np.isfinite(target)[:, None]
    pairs = np.maximum(both.sum(axis=0), 1)
    x, y = np.where(both, values, 0.0), np.where(both, target[:, None], 0.0)
    x = np.where(both, x - x.sum(axis=0) / pairs, 0.0)
    y = np.where(both, y - y.sum(axis=0) / pairs, 0.0)
    # Scaled first: squares of bytes lose the small ones, and those of nanoseconds are 0.
    x, y = (each / np.maximum(np.abs(each).max(axis=0), np.finfo(float).tiny) for each in (x, y))
    norm = np.sqrt(np.square(x).sum(axis=0) * np.square(y).sum(axis=0))
    usable = (both.sum(axis=0) >= _LEAST_PAIRS) & (norm > 0)
    found: Floats = np.divide((x * y).sum(axis=0), norm, out=np.zeros(x.shape[1]), where=usable)
    return found


def candidate(
    component: str, score: float, column: int, data: Windows, departed: Departures
) -> Candidate:
    """Return a suspect with the metric of one column of the windows as its evidence."""
    series, sign = data.values[:, column], int(departed.sign[column])
    beyond = (series - departed.centre[column]) * sign > departed.scale[column]
    beyond &= ~data.normal
    return Candidate(
        component=component,
        metric=data.keys[column][1],
        score=score,
        evidence=Evidence(
            before=float(departed.centre[column]),
            after=float(np.nanmedian(series[data.anomalous])),
            direction="up" if sign > 0 else "down",
            unit=data.metrics[column].unit,
            first_deviation_ns=int(data.times[beyond.argmax()]) if beyond.any() else None,
        ),
    )


def ranked(
    scores: Floats, suspects: Mask, found: Responses, data: Windows
) -> tuple[Candidate, ...]:
    """Return the suspects, all of them measured, strongest first; of equals the most unusual."""
    order = sorted(
        np.flatnonzero(suspects),
        key=lambda index: (-scores[index], -found.ratio[index], found.components[index]),
    )
    return tuple(
        candidate(
            found.components[index],
            float(scores[index]),
            int(found.column[index]),
            data,
            found.departed,
        )
        for index in order
    )
