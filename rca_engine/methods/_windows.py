# SPDX-License-Identifier: Apache-2.0
"""A case's metrics as arrays, with the normal and the anomalous window: where every method starts.

Windows
    The normal window ends ``guard_s`` before the alert, for the alert lags the fault by some
    seconds and what lies between belongs to neither. The anomalous window begins at the alert and
    lasts ``horizon_s``: a fault may end before the data do, and its recovery is not the fault.
Late alerts
    What an alert that comes late leaves of the fault before itself is not normal. With
    ``look_back`` the incident that the alert belongs to is looked for in the data, as without a
    time, and the normal window ends before it.
Symptoms
    The alert says that its component's external metrics (what a caller sees) are bad. They are the
    question and no answer, so they are not ranked. Internal metrics of the same component are: a
    client that sends more load than before is guilty of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _changepoint, _scores
from rca_engine.methods._scores import CentreScale, Floats, Ints, Mask
from rca_engine.model import NS, Metric
from rca_engine.ranking import Context

_LEAST_STEPS = 5
"""Values that a metric must have in the normal window, and steps in either window; also what the
anomalous window lasts at least."""
_LEAST_SECONDS = 30.0
"""A step of that length is the mean of many samples, and one is enough for the anomalous window."""
_QUIET_STEPS = 30
"""Normal steps that must come before an incident which a method finds itself: fewer show too little
of the normal spread to tell it from an incident."""
_LASTING_STEPS = 15
"""Steps that such an incident lasts at least: among many short intervals one is odd by chance."""

_ABSURD = 1e100
"""No measurement is as large: such a value, or an infinite one, is as good as unknown."""
DETECTORS = ("bocpd", "first", "scan")

Key = tuple[str, str]


@dataclass(frozen=True)
class WindowOptions:
    """Where the windows lie.

    Parameters
    ----------
    guard_s
        Seconds before the alert that count as neither normal nor anomalous.
    horizon_s
        Length of the anomalous window, which has some steps at least however coarse they are; None
        for up to the end of the data.
    look_back
        Whether to look for the beginning of the incident before the alert.
    detector
        What finds an incident without a time: ``bocpd``, the strongest interval between two change
        points; ``first``, from the first change point to the next, as in BARO's paper; ``scan``,
        the strongest of all intervals. See :mod:`rca_engine.methods._changepoint`.
    """

    guard_s: float = 10.0
    horizon_s: float | None = 30.0
    look_back: bool = False
    detector: str = "scan"

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise MethodError(f"detector is one of {', '.join(DETECTORS)}, not {self.detector!r}")
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
    values = np.where(np.abs(values) < _ABSURD, values, np.nan)
    quiet_ns, start_ns, end_ns = _incident(times, values, context.time_ns, options, case.step_s)
    normal: Mask = times < quiet_ns - round(options.guard_s * NS)
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
    matrix = case.matrix
    symptom = np.array([is_symptom(case, context, key) for key in _keys(matrix)], dtype=bool)
    if matrix.empty or symptom.all():
        raise MethodError("the case has no metrics to rank")
    return matrix if symptoms else matrix.loc[:, ~symptom]


def _keys(matrix: pd.DataFrame) -> list[Key]:
    return [(str(key[0]), str(key[1])) for key in matrix.columns.to_flat_index()]


def _incident(
    times: Ints, values: Floats, told_ns: int | None, options: WindowOptions, step_s: float
) -> tuple[int, int, int]:
    """Return when it ceases to be quiet, and when the incident starts and ends, in ns."""
    # The guard lies between the quiet steps and the incident.
    guard = int((times < times[0] + round(options.guard_s * NS)).sum())
    before = guard + _QUIET_STEPS
    end_ns = int(times[-1])
    if told_ns is not None:
        quiet_ns, start_ns = told_ns, told_ns
        alert = int(np.searchsorted(times, told_ns))
        if options.look_back and before <= alert < times.size:
            # Half of what came before the alert is left to be normal, whatever is found.
            onset = _onset(values, max(before, alert // 2), alert)
            quiet_ns = told_ns if onset is None else min(told_ns, int(times[onset]))
    else:
        if times.size < before + _LASTING_STEPS:
            raise MethodError(
                f"{times.size} steps are too few to find an incident in, "
                f"{before + _LASTING_STEPS} are needed"
            )
        first, stop = _found(values, before, options.detector)
        quiet_ns = start_ns = int(times[first])
        end_ns = int(times[stop - 1])
    if options.horizon_s is not None:
        horizon_s = max(options.horizon_s, _LEAST_STEPS * step_s)
        end_ns = min(end_ns, start_ns + round(horizon_s * NS))
    return quiet_ns, start_ns, end_ns


def _onset(values: Floats, before: int, alert: int) -> int | None:
    """Return the step at which the incident that goes on at the step ``alert`` began."""
    interval = _changepoint.strongest_interval(
        _changepoint.ranks(values), before=before, least=_LEAST_STEPS, around=alert
    )
    return None if interval is None else interval[0]


def _found(values: Floats, before: int, detector: str) -> tuple[int, int]:
    """Return where the incident that nobody told of starts and stops, in steps."""
    ranked = _changepoint.ranks(values)
    interval = None
    if detector != "scan":
        changes = _changepoint.boundaries(ranked)
        if detector == "first":
            ends = _first_regime(changes[changes >= before])
        else:
            # A change shows some steps after it began.
            ends = (changes[:, None] - np.arange(_LASTING_STEPS)).ravel()
        interval = _changepoint.strongest_interval(
            ranked, before=before, least=_LASTING_STEPS, ends=ends[ends > 0]
        )
    if interval is None:
        # Nothing changed; that the interval hardly stands out will show by its scores.
        interval = _changepoint.strongest_interval(ranked, before=before, least=_LASTING_STEPS)
    return interval or (before, values.shape[0])


def _first_regime(changes: Ints) -> Ints:
    """Return the first change and the next one that leaves room for an incident, if any."""
    room = changes.min(initial=0) + _LASTING_STEPS
    return np.concatenate([changes[:1], changes[changes >= room][:1]])


def _usable(values: Floats, normal: Mask, anomalous: Mask, step_s: float) -> Mask:
    few = min(max(round(_LEAST_SECONDS / step_s), 1), _LEAST_STEPS)
    for name, window, least in (("normal", normal, _LEAST_STEPS), ("anomalous", anomalous, few)):
        if window.sum() < least:
            raise MethodError(
                f"the {name} window has {window.sum()} steps of {step_s:g} s, "
                f"at least {least} are needed"
            )
    known = np.isfinite(values)
    usable: Mask = (known[normal].sum(axis=0) >= _LEAST_STEPS) & known[anomalous].any(axis=0)
    if not usable.any():
        raise MethodError("no metric has values both before and after the alert")
    return usable
