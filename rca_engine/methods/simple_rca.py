# SPDX-License-Identifier: Apache-2.0
"""SimpleRCA: three rules of thumb, the control that a method must beat.

A metric that leaves its mean by ``sigmas`` standard deviations, an operation whose 95th percentile
of latency is ``slowdown`` times what it was, and error words that a component logs more often than
before are alarms (section 3.2). Components are ranked by how many of the three sources alarm, then
by how severe the worst alarm of each is.

The paper does not say how alarms of different sources are added up. Here each source gives one
point for an alarm and up to one more for its severity, x / (1 + x) where x is 1 at the limit.
It counts keywords without looking at what was logged before: here they are
per unit of traffic, before and after, for a service that always logs errors would always win.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.logs.templates import error_lines
from rca_engine.methods import _scores, method
from rca_engine.methods._periods import Periods, metric_windows, missing, periods, require_any
from rca_engine.methods._scores import Floats, Ints
from rca_engine.methods._traces import Spans, span_evidence, spans_of
from rca_engine.methods._windows import WindowOptions, Windows
from rca_engine.ranking import Candidate, Context, Evidence, LogEvidence, Ranking, Signal

_LEAST_SPANS = 5
"""Spans of an operation in each window without which a percentile says nothing."""
_LEAST_ERRORS = 3
"""Error lines more than expected that are an alarm."""

Alarms = dict[str, float]


@method(
    "simple_rca",
    sources={"metrics", "logs", "traces"},
    paper="Fang et al., Rethinking the Evaluation of Microservice RCA with a Fault "
    "Propagation-Aware Benchmark, arXiv 2510.04711 (SimpleRCA)",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    sigmas: float = 3.0,
    slowdown: float = 3.0,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank components by 3-sigma metrics, P95 latencies and error words."""
    if sigmas <= 0 or slowdown <= 1:
        raise MethodError("sigmas must be above 0 and slowdown above 1")
    at = periods(case, context, WindowOptions(guard_s, horizon_s))
    require_any(case, at)
    sources: list[Alarms] = []
    signals: dict[str, list[Signal]] = {}
    metrics: tuple[Candidate, ...] = ()
    if not case.table("metrics").empty:
        alarms, metrics = _metric_alarms(metric_windows(case, context, at), sigmas)
        sources.append(alarms)
    if not case.table("logs").empty:
        sources.append(_log_alarms(case.table("logs"), at, signals))
    if not case.table("traces").empty:
        sources.append(_span_alarms(spans_of(case.table("traces")), at, slowdown, signals))
    return Ranking((*_components(sources, signals), *metrics), at.start_ns, missing(case))


def _metric_alarms(data: Windows, sigmas: float) -> tuple[Alarms, tuple[Candidate, ...]]:
    if not data.keys:
        return {}, ()
    distances, before = data.distances(_scores.mean_and_deviation)
    values = data.values[data.anomalous]  # noqa: PD011 - an array
    farthest = np.nanmedian(distances[data.anomalous], axis=0)
    after = np.nanmedian(values, axis=0)
    alarms: Alarms = {}
    found = []
    for column in np.flatnonzero(np.abs(farthest) >= sigmas):
        component, name = data.keys[column]
        severity = float(np.abs(farthest[column]) / sigmas)
        alarms[component] = max(alarms.get(component, 0.0), severity)
        evidence = Evidence(
            before=float(before[column]),
            after=float(after[column]),
            direction="up" if farthest[column] > 0 else "down",
            unit=data.metrics[column].unit,
            first_deviation_ns=None,
        )
        found.append(Candidate(component, severity, name, evidence))
    found.sort(key=lambda each: (-each.score, each.component, each.metric or ""))
    return alarms, tuple(found)


def _log_alarms(logs: pd.DataFrame, at: Periods, signals: dict[str, list[Signal]]) -> Alarms:
    times = pd.DatetimeIndex(logs["timestamp"]).as_unit("ns").asi8
    normal, anomalous = at.normal(times), at.anomalous(times)
    traffic = anomalous.sum() / max(normal.sum(), 1)
    errors = error_lines(logs)
    alarms: Alarms = {}
    for component, rows in logs.groupby("component", sort=True).indices.items():
        mine = errors[rows]
        before, after = float((mine & normal[rows]).sum()), float((mine & anomalous[rows]).sum())
        expected = before * traffic
        if after >= expected + max(_LEAST_ERRORS, 3.0 * np.sqrt(expected)):
            alarms[str(component)] = float(after / max(expected, _LEAST_ERRORS))
            sample = logs["message"].iloc[rows[mine & anomalous[rows]]].min()
            evidence = LogEvidence("error words", before, after, str(sample), unit="1")
            signals.setdefault(str(component), []).append(evidence)
    return alarms


def _span_alarms(
    spans: Spans, at: Periods, slowdown: float, signals: dict[str, list[Signal]]
) -> Alarms:
    before = at.normal(spans.trace_start_ns)[spans.trace]
    after = at.anomalous(spans.trace_start_ns)[spans.trace]
    high_before, size_before = _p95(spans.duration_ms[before], spans.operation[before], spans)
    high_after, size_after = _p95(spans.duration_ms[after], spans.operation[after], spans)
    enough = (size_before >= _LEAST_SPANS) & (size_after >= _LEAST_SPANS) & (high_before > 0)
    ratio = np.divide(high_after, high_before, out=np.zeros_like(high_after), where=enough)
    evidence = span_evidence(spans, before, after)
    alarms: Alarms = {}
    for operation in sorted(np.flatnonzero(ratio >= slowdown), key=lambda op: (-ratio[op], op)):
        component = spans.operations[operation][0]
        alarms.setdefault(component, float(ratio[operation] / slowdown))
        signals.setdefault(component, []).append(evidence[operation])
    return alarms


def _p95(values: Floats, operation: Ints, spans: Spans) -> tuple[Floats, Floats]:
    """Return the 95th percentile and the size of each operation's spans; shape (operations,)."""
    groups = pd.Series(values).groupby(operation)
    every = range(len(spans.operations))
    high: Floats = np.asarray(groups.quantile(0.95).reindex(every).fillna(0.0), dtype=np.float64)
    size: Floats = np.asarray(groups.size().reindex(every).fillna(0), dtype=np.float64)
    return high, size


def _components(
    sources: list[Alarms], signals: Mapping[str, list[Signal]]
) -> tuple[Candidate, ...]:
    score: dict[str, float] = {}
    for alarms in sources:
        for component, severity in alarms.items():
            points = 1.0 + severity / (1.0 + severity)
            score[component] = score.get(component, 0.0) + points
    found = [
        Candidate(component, points, signals=tuple(signals.get(component, ())[:3]))
        for component, points in score.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.score, each.component)))
