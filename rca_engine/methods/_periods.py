# SPDX-License-Identifier: Apache-2.0
"""The normal and the anomalous window for events: log lines and spans have no grid of their own.

They are those of :mod:`rca_engine.methods._windows`, except that the anomalous window is at least
three steps of the case long, so that metrics by the minute have a median in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _changepoint, _grid
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._windows import WindowOptions, Windows, metric_of
from rca_engine.model import NS
from rca_engine.ranking import Context
from rcalab_common.times import format_utc

_STEPS = 3
_LEAST_NORMAL = 4
"""Values that a metric must have in the normal window."""
_QUIET_S, _LASTING_S = 30.0, 15.0
"""Seconds that must come before an incident which a method finds itself, and that it must last."""


@dataclass(frozen=True)
class Periods:
    """Times in UTC nanoseconds; what lies between the two windows belongs to neither."""

    normal_end_ns: int
    start_ns: int
    end_ns: int

    def normal(self, times: Ints) -> Mask:
        """Return which times are in the normal window."""
        return np.asarray(times < self.normal_end_ns)

    def anomalous(self, times: Ints) -> Mask:
        """Return which times are in the anomalous window."""
        return np.asarray((times >= self.start_ns) & (times <= self.end_ns))


def periods(case: CaseView, context: Context, options: WindowOptions) -> Periods:
    """Find the two windows: from the time told, or by the interval that differs most.

    Raises
    ------
    MethodError
        If no time is told and the case is too short to find one.
    """
    start_ns, end_ns = context.time_ns, max(case.window.end_ns, context.time_ns or 0)
    if start_ns is None:
        start_ns, end_ns = _find(case, options)
    if options.horizon_s is not None:
        horizon_s = max(options.horizon_s, _STEPS * case.step_s)
        end_ns = min(end_ns, start_ns + round(horizon_s * NS))
    return Periods(start_ns - round(options.guard_s * NS), start_ns, end_ns)


def metric_windows(case: CaseView, context: Context, at: Periods) -> Windows:
    """Put the metrics side by side with the two windows, however coarse their steps are.

    Symptoms are left out as in :func:`rca_engine.methods._windows.windows`; no metric may be left.
    """
    matrix = case.matrix
    times: Ints = pd.DatetimeIndex(matrix.index).as_unit("ns").asi8
    values: Floats = matrix.to_numpy(dtype=np.float64)
    normal, anomalous = at.normal(times), at.anomalous(times)
    known = np.isfinite(values)
    usable = (known[normal].sum(axis=0) >= _LEAST_NORMAL) & known[anomalous].any(axis=0)
    keys, metrics, columns = [], [], []
    for column, key in enumerate(matrix.columns.to_flat_index()):
        component, name = str(key[0]), str(key[1])
        metric = metric_of(case, name)
        symptom = component == context.alert_component and metric.scope == "external"
        if usable[column] and not symptom:
            keys.append((component, name))
            metrics.append(metric)
            columns.append(column)
    return Windows(
        tuple(keys), tuple(metrics), times, values[:, columns], normal, anomalous, at.start_ns
    )


def require_any(case: CaseView, at: Periods) -> None:
    """Refuse a case none of whose sources has data in both windows.

    Raises
    ------
    MethodError
        Naming the sources, or saying which window is empty.
    """
    held = {name: table for name, table in case.tables.items() if not table.empty}
    if not held:
        raise MethodError(f"the case has none of {', '.join(sorted(case.tables))}")
    times = {name: _grid.times_ns(table, name) for name, table in held.items()}
    masks = [(at.normal(each), at.anomalous(each)) for each in times.values()]
    if not any(normal.any() and anomalous.any() for normal, anomalous in masks):
        every = [np.concatenate(side) for side in zip(*masks, strict=True)]
        require("telemetry", every[0], every[1], at)
        raise MethodError("no source has telemetry both before and after the alert")


def internal_only(data: Windows) -> Windows:
    """Leave out external metrics: what a caller sees of a component, its callees may have caused.

    Where there are no internal ones, all stay.
    """
    internal = np.flatnonzero([each.scope == "internal" for each in data.metrics])
    return data.take(internal) if internal.size else data


def missing(case: CaseView) -> str | None:
    """Say which of the sources that a method declared the case lacks; None if it has all."""
    lacking = [name for name in sorted(case.tables) if case.tables[name].empty]
    return f"the case has no {' and no '.join(lacking)}" if lacking else None


def require(what: str, normal: Mask, anomalous: Mask, at: Periods) -> None:
    """Refuse a case that has no data of a kind in one of the windows.

    Raises
    ------
    MethodError
        Saying which window is empty and when it begins or ends.
    """
    if not normal.any():
        raise MethodError(
            f"no {what} before {format_utc(at.normal_end_ns)}: nothing says what is normal"
        )
    if not anomalous.any():
        raise MethodError(
            f"no {what} from {format_utc(at.start_ns)} to {format_utc(at.end_ns)}: nothing to judge"
        )


def _find(case: CaseView, options: WindowOptions) -> tuple[int, int]:
    """Return first and last instant of the interval in which the signals differ most."""
    grid = _grid.build(case, case.window.start_ns, case.step_s)
    step_s = grid.step_ns / NS
    guard = int(np.ceil(options.guard_s / step_s))
    quiet, lasting = max(round(_QUIET_S / step_s), 4), max(round(_LASTING_S / step_s), 2)
    if grid.times.size < guard + quiet + lasting:
        raise MethodError(
            f"{grid.times.size} steps of {step_s:g} s are too few to find an incident in, "
            f"{guard + quiet + lasting} are needed; tell the method a time"
        )
    ranked = _changepoint.ranks(grid.values)
    before = guard + quiet
    found = _changepoint.strongest_interval(ranked, before=before, least=lasting)
    first, stop = found or (before, grid.times.size)
    return int(grid.times[first]), int(grid.times[stop - 1]) + grid.step_ns - 1
