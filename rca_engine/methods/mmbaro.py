# SPDX-License-Identifier: Apache-2.0
"""Multi-source BARO: BARO's RobustScorer over metrics, logs and traces on one grid of time.

Each metric, each template of each component's log (lines a step), and each operation (mean latency
and failures a step) is a series of the same grid (``_grid``), scored by how far it leaves its
normal median in interquartile ranges; a component is as suspect as its farthest series.

Departures from the paper and from RCAEval's implementation:

- One grid: its step is ``grid_s`` or the case's step, whichever is longer, and one of its
  boundaries is the alert. RCAEval pairs one-second metrics with 15-second logs.
- Series of equal name from two sources are two series.
- Log templates by an own Drain, where RCAEval counts lines.
- As in ``baro`` here: two-sided; the median of the anomalous window and not its maximum
  (``quantile`` 1.0 is the paper's); series that were constant before are kept.
- Works with any of the sources; those that are missing are told.
"""

from __future__ import annotations

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _grid, _scores, method
from rca_engine.methods._grid import Grid
from rca_engine.methods._periods import missing, periods, require
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._windows import WindowOptions, metric_of
from rca_engine.ranking import (
    Candidate,
    Context,
    Evidence,
    LogEvidence,
    Ranking,
    Signal,
    SpanEvidence,
)

_LEAST_NORMAL = 3
"""Steps of the normal window in which a series must be known."""
_RESOLUTION = {"logs": 1.0, "errors": 1.0}
"""Least change that means anything: one line, one failure."""
_SIGNALS = 3


@method(
    "mmbaro",
    sources={"metrics", "logs", "traces"},
    paper="Pham et al., BARO, FSE 2024; multi-source: Pham et al., RCAEval, WWW Companion 2025",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    quantile: float = 0.5,
    grid_s: float = 5.0,
    threshold: float = 3.0,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank components by their series of any source that left its normal range farthest."""
    if not 0.5 <= quantile <= 1.0 or grid_s <= 0:
        raise MethodError("quantile must be from 0.5 to 1, and grid_s above 0")
    at = periods(case, context, WindowOptions(guard_s, horizon_s))
    grid = _grid.build(case, at.start_ns, max(grid_s, case.step_s))
    # A step counts as normal if it ends before the guard begins.
    normal = at.normal(grid.times + grid.step_ns - 1)
    anomalous = at.anomalous(grid.times)
    require("telemetry", normal, anomalous, at)
    columns = _usable(case, context, grid, normal, anomalous)
    if not columns.size:
        raise MethodError("no series has values both before and after the alert")
    values = grid.values[:, columns]
    keys = [grid.keys[column] for column in columns]
    distances, before = _scores.standardise(
        values, normal, anomalous, _resolutions(case, keys), _scores.median_and_iqr
    )
    score, sign = _scores.deviation(
        distances[anomalous], quantile, np.zeros(len(keys), dtype=np.int64)
    )
    degraded = missing(case)
    if score.max() < threshold:
        return Ranking((), time_ns=at.start_ns, degraded=degraded)
    after = np.nanmedian(values[anomalous], axis=0)
    return Ranking(_candidates(case, keys, score, sign, before, after), at.start_ns, degraded)


def _usable(case: CaseView, context: Context, grid: Grid, normal: Mask, anomalous: Mask) -> Ints:
    """Return the columns that are known in both windows and are no symptom."""
    known = np.isfinite(grid.values)
    enough = (known[normal].sum(axis=0) >= _LEAST_NORMAL) & known[anomalous].any(axis=0)
    symptom = [
        source == "metrics"
        and component == context.alert_component
        and metric_of(case, name).scope == "external"
        for source, component, name in grid.keys
    ]
    return np.flatnonzero(enough & ~np.array(symptom, dtype=np.bool_))


def _resolutions(case: CaseView, keys: list[_grid.Key]) -> Floats:
    return np.array(
        [
            metric_of(case, name).resolution or np.nan
            if source == "metrics"
            else _RESOLUTION.get(source, np.nan)
            for source, _, name in keys
        ]
    )


def _candidates(
    case: CaseView,
    keys: list[_grid.Key],
    score: Floats,
    sign: Ints,
    before: Floats,
    after: Floats,
) -> tuple[Candidate, ...]:
    """Give the components with what their logs and spans say, then the metrics."""
    order = sorted(range(len(keys)), key=lambda at: (-score[at], keys[at][1:], keys[at][0]))
    best: dict[str, float] = {}
    signals: dict[str, list[Signal]] = {}
    metrics = []
    for at in order:
        source, component, name = keys[at]
        best.setdefault(component, float(score[at]))
        was, now = float(before[at]), float(after[at])
        if source == "metrics":
            evidence = Evidence(
                before=was,
                after=now,
                direction="up" if sign[at] > 0 else "down",
                unit=metric_of(case, name).unit,
                first_deviation_ns=None,
            )
            metrics.append(Candidate(component, float(score[at]), name, evidence))
        elif source == "logs":
            signals.setdefault(component, []).append(LogEvidence(name, was, now, unit="1"))
        elif source == "latency":
            signals.setdefault(component, []).append(SpanEvidence(name, was, now))
    components = [
        Candidate(component, value, signals=tuple(signals.get(component, ())[:_SIGNALS]))
        for component, value in best.items()
    ]
    return (*components, *metrics)
