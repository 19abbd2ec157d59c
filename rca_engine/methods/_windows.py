# SPDX-License-Identifier: Apache-2.0
"""A case's metrics as arrays, with the normal and the anomalous window: where every method starts.

Windows
    The normal window ends ``guard_s`` before the alert, for the alert lags the fault by some
    seconds and what lies between belongs to neither. The anomalous window begins at the alert and
    lasts ``horizon_s``: a fault may end before the data do, and its recovery is not the fault.
Symptoms
    The alert says that its component's external metrics (what a caller sees) are bad. They are the
    question and no answer, so they are not ranked. Internal metrics of the same component are: a
    client that sends more load than before is guilty of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rca_engine.case import CaseView, metric_matrix
from rca_engine.errors import MethodError
from rca_engine.methods import _scores
from rca_engine.methods._scores import CentreScale, Floats, Ints, Mask
from rca_engine.model import NS, Metric
from rca_engine.ranking import Context

_LEAST_STEPS = 5
"""Values that a metric must have in the normal window, and steps in either window."""
_QUIET_STEPS = 30
"""Normal steps that must come before an incident which a method finds itself: fewer show too little
of the normal spread to tell it from an incident."""
_LASTING_STEPS = 15
"""Steps that such an incident lasts at least: among many short intervals one is odd by chance."""

Key = tuple[str, str]


@dataclass(frozen=True)
class WindowOptions:
    """Where the windows lie.

    Parameters
    ----------
    guard_s
        Seconds before the alert that count as neither normal nor anomalous.
    horizon_s
        Length of the anomalous window; None for up to the end of the data.
    """

    guard_s: float = 10.0
    horizon_s: float | None = 30.0

    def __post_init__(self) -> None:
        if self.guard_s < 0 or (self.horizon_s is not None and self.horizon_s <= 0):
            raise MethodError("guard_s must be at least 0 and horizon_s above 0")


@dataclass(frozen=True)
class Windows:
    """Metrics side by side, in order of (component, metric), and what is normal in them.

    Parameters
    ----------
    keys
        (component, metric) of each column.
    metrics
        What is known of each column.
    times
        Shape (steps,), UTC nanoseconds.
    values
        Shape (steps, metrics); NaN where nothing is known. Every column has values in both windows.
    normal, anomalous
        Shape (steps,).
    start_ns
        When the incident is taken to have begun.
    """

    keys: tuple[Key, ...]
    metrics: tuple[Metric, ...]
    times: Ints
    values: Floats
    normal: Mask
    anomalous: Mask
    start_ns: int

    def resolution(self) -> Floats:
        """Return each column's smallest change that means anything; NaN where unknown."""
        return np.array([each.resolution or np.nan for each in self.metrics], dtype=np.float64)

    def distances(self, centre_scale: CentreScale) -> tuple[Floats, Floats]:
        """Return each value's distance from the normal centre, and the centres.

        See :func:`rca_engine.methods._scores.standardise`.
        """
        return _scores.standardise(
            self.values, self.normal, self.anomalous, self.resolution(), centre_scale
        )

    def take(self, columns: Ints) -> Windows:
        """Return the windows of some columns only, in the order given."""
        return replace(
            self,
            keys=tuple(self.keys[index] for index in columns),
            metrics=tuple(self.metrics[index] for index in columns),
            values=self.values[:, columns],
        )


def windows(
    case: CaseView, context: Context, options: WindowOptions, *, symptoms: bool = False
) -> Windows:
    """Put the case's metrics side by side and find its two windows.

    Parameters
    ----------
    case, context, options
        What to look at, what is known of the incident, and where the windows lie.
    symptoms
        Whether to keep the symptoms: a walk begins there.

    Raises
    ------
    MethodError
        If either window is too short, or no metric has values in both.
    """
    matrix = _matrix(case, context, symptoms=symptoms)
    times: Ints = pd.DatetimeIndex(matrix.index).as_unit("ns").asi8
    values: Floats = matrix.to_numpy(dtype=np.float64)
    start_ns, end_ns = _incident(times, values, context, options)
    normal: Mask = times < start_ns - round(options.guard_s * NS)
    anomalous: Mask = (times >= start_ns) & (times <= end_ns)
    usable = _usable(values, normal, anomalous, case.step_s)
    keys = tuple(key for key, keep in zip(_keys(matrix), usable, strict=True) if keep)
    metrics = tuple(metric_of(case, name) for _, name in keys)
    return Windows(keys, metrics, times, values[:, usable], normal, anomalous, start_ns)


def metric_of(case: CaseView, name: str) -> Metric:
    """Return what the case says of a metric; one that it does not know has no unit."""
    return case.metric_table.get(name, Metric(name=name, kind="gauge", unit=""))


def is_symptom(case: CaseView, context: Context, key: Key) -> bool:
    """Return whether a metric is what the alert is about: the question, and no answer."""
    component, name = key
    return component == context.alert_component and metric_of(case, name).scope == "external"


def _matrix(case: CaseView, context: Context, *, symptoms: bool) -> pd.DataFrame:
    matrix = metric_matrix(case.table("metrics"))
    symptom = np.array([is_symptom(case, context, key) for key in _keys(matrix)], dtype=bool)
    if matrix.empty or symptom.all():
        raise MethodError("the case has no metrics to rank")
    return matrix if symptoms else matrix.loc[:, ~symptom]


def _keys(matrix: pd.DataFrame) -> list[Key]:
    return [(str(key[0]), str(key[1])) for key in matrix.columns.to_flat_index()]


def _incident(
    times: Ints, values: Floats, context: Context, options: WindowOptions
) -> tuple[int, int]:
    """Return when the anomalous window starts and ends, in ns."""
    start_ns, end_ns = context.time_ns, int(times[-1])
    if start_ns is None:
        guard = int((times < times[0] + round(options.guard_s * NS)).sum())
        needed = guard + _QUIET_STEPS + _LASTING_STEPS
        if times.size < needed:
            raise MethodError(
                f"{times.size} steps are too few to find an incident in, {needed} are needed"
            )
        first, stop = _scores.strongest_interval(
            values, before=guard + _QUIET_STEPS, least=_LASTING_STEPS
        )
        start_ns, end_ns = int(times[first]), int(times[stop - 1])
    if options.horizon_s is not None:
        end_ns = min(end_ns, start_ns + round(options.horizon_s * NS))
    return start_ns, end_ns


def _usable(values: Floats, normal: Mask, anomalous: Mask, step_s: float) -> Mask:
    for name, window in (("normal", normal), ("anomalous", anomalous)):
        if window.sum() < _LEAST_STEPS:
            raise MethodError(
                f"the {name} window has {window.sum()} steps of {step_s:g} s, "
                f"at least {_LEAST_STEPS} are needed"
            )
    known = np.isfinite(values)
    usable: Mask = (known[normal].sum(axis=0) >= _LEAST_STEPS) & known[anomalous].any(axis=0)
    if not usable.any():
        raise MethodError("no metric has values both before and after the alert")
    return usable
