# SPDX-License-Identifier: Apache-2.0
"""Rank by deviation alone: what N-Sigma and BARO share, apart from their centre and scale.

Windows
    The normal window ends ``guard_s`` before the alert, for the alert lags the fault by some
    seconds and what lies between belongs to neither. The anomalous window begins at the alert and
    lasts ``horizon_s``: a fault may end before the data do, and its recovery is not the fault.
Statistic
    The papers score a metric by the largest deviation of the anomalous window. Over rates taken
    from one-second samples the largest of thirty noisy values is large for healthy replicas too,
    whereas a lasting fault moves the median: so the default is the ``quantile`` 0.5, and 1.0 is
    the papers' maximum.
Symptoms
    The alert says that its component's external metrics (what a caller sees) are bad. They are the
    question and no answer, so they are not ranked. Internal metrics of the same component are: a
    client that sends more load than before is guilty of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_engine.case import CaseView, metric_matrix
from rca_engine.errors import MethodError
from rca_engine.methods import _scores
from rca_engine.methods._scores import CentreScale, Floats, Ints, Mask
from rca_engine.model import NS, Metric
from rca_engine.ranking import Candidate, Context, Evidence, Ranking

_LEAST_STEPS = 5
"""Values that a metric must have in the normal window, and steps in either window."""
_QUIET_STEPS = 30
"""Normal steps that must come before an incident which a method finds itself: fewer show too little
of the normal spread to tell it from an incident."""
_LASTING_STEPS = 15
"""Steps that such an incident lasts at least: among many short intervals one is odd by chance."""
_ALLOWED = {"up": 1, "down": -1, "both": 0}


@dataclass(frozen=True)
class Options:
    """How to rank by deviation.

    Parameters
    ----------
    quantile
        Of the anomalous window's distances, from 0.5 to 1: see the module's note on the statistic.
    guard_s
        Seconds before the alert that count as neither normal nor anomalous.
    horizon_s
        Length of the anomalous window; None for up to the end of the data.
    directed
        Whether a metric counts only if it went the way that the vocabulary calls bad.
    threshold
        Without a score of at least this there is no fault: the ranking is empty.
    """

    quantile: float = 0.5
    guard_s: float = 10.0
    horizon_s: float | None = 30.0
    directed: bool = False
    threshold: float = 3.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile <= 1.0:
            raise MethodError(f"quantile must be from 0.5 to 1, got {self.quantile}")
        if self.guard_s < 0 or (self.horizon_s is not None and self.horizon_s <= 0):
            raise MethodError("guard_s must be at least 0 and horizon_s above 0")


def rank_by_deviation(
    case: CaseView, context: Context, centre_scale: CentreScale, options: Options
) -> Ranking:
    """Rank every metric by how far it left its normal range.

    Raises
    ------
    MethodError
        If either window is too short, or no metric has values in both.
    """
    matrix = _candidates(case, context)
    times: Ints = pd.DatetimeIndex(matrix.index).as_unit("ns").asi8
    values: Floats = matrix.to_numpy(dtype=np.float64)
    start_ns, end_ns = _incident(times, values, context, options)
    normal: Mask = times < start_ns - round(options.guard_s * NS)
    anomalous: Mask = (times >= start_ns) & (times <= end_ns)
    usable = _usable(values, normal, anomalous, case.step_s)
    values = values[:, usable]
    keys = [key for key, keep in zip(_keys(matrix), usable, strict=True) if keep]
    metrics = [_metric(case, name) for _, name in keys]
    resolution = np.array([each.resolution or np.nan for each in metrics], dtype=np.float64)
    distances, before = _scores.standardise(values, normal, anomalous, resolution, centre_scale)
    allowed = np.array(
        [_ALLOWED[each.direction] if options.directed else 0 for each in metrics], dtype=np.int64
    )
    score, sign = _scores.deviation(distances[anomalous], options.quantile, allowed)
    if score.max() < options.threshold:
        return Ranking((), time_ns=start_ns)
    after = np.nanmedian(values[anomalous], axis=0)
    # A limit of at least 1 keeps the first deviation from being noise where the threshold is 0.
    first = _scores.first_beyond(distances, sign, max(options.threshold, 1.0), ~normal)
    candidates = [
        Candidate(
            component=component,
            metric=metric.name,
            score=float(score[index]),
            evidence=Evidence(
                before=float(before[index]),
                after=float(after[index]),
                direction="up" if sign[index] > 0 else "down",
                unit=metric.unit,
                first_deviation_ns=int(times[first[index]]) if first[index] >= 0 else None,
            ),
        )
        for index, ((component, _), metric) in enumerate(zip(keys, metrics, strict=True))
    ]
    return Ranking(tuple(sorted(candidates, key=_order)), time_ns=start_ns)


def _order(candidate: Candidate) -> tuple[float, float, str, str]:
    """Strongest first; of equals the one that deviated first; names only settle what is left."""
    evidence = candidate.evidence
    seen = evidence.first_deviation_ns if evidence is not None else None
    return (
        -candidate.score,
        np.inf if seen is None else float(seen),
        candidate.component,
        candidate.metric or "",
    )


def _candidates(case: CaseView, context: Context) -> pd.DataFrame:
    matrix = metric_matrix(case.table("metrics"))
    symptom = [
        component == context.alert_component and _metric(case, name).scope == "external"
        for component, name in _keys(matrix)
    ]
    matrix = matrix.loc[:, ~np.array(symptom, dtype=bool)]
    if matrix.empty:
        raise MethodError("the case has no metrics to rank")
    return matrix


def _keys(matrix: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(key[0]), str(key[1])) for key in matrix.columns.to_flat_index()]


def _metric(case: CaseView, name: str) -> Metric:
    """Return what the case says of a metric; one that it does not know has no unit."""
    return case.metric_table.get(name, Metric(name=name, kind="gauge", unit=""))


def _incident(times: Ints, values: Floats, context: Context, options: Options) -> tuple[int, int]:
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
