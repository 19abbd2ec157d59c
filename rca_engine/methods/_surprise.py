# SPDX-License-Identifier: Apache-2.0
"""How surprising each source finds each component, as a multiple of what chance makes of it.

Every score is divided by the level that the largest of all scores of its source reaches while
nothing is wrong: so 1 is "as odd as the oddest thing of a quiet time", whatever the source, and
sources can be compared without being averaged.

Drift
    The halves of the normal window differ too: users change what they ask for. A change after the
    alert counts by what it exceeds that by: sqrt(after^2 - drift^2), the variances subtracted.
Chance level
    Log and trace scores are nearly standard normal, so the largest of n is about sqrt(2 ln n).
    Metrics have heavy tails: their level is the largest score that any part of the normal window
    gets from the rest of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.logs import drain
from rca_engine.logs.templates import count_templates, surprise
from rca_engine.methods import _scores
from rca_engine.methods._periods import Periods
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._traces import Spans, mean_and_spread
from rca_engine.methods._windows import Windows
from rca_engine.ranking import Evidence

_IDS = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{16}|[0-9a-f]{32})(?![0-9A-Za-z])")
_LONGEST = 2000
_ANSCOMBE = 3.0 / 8.0
_LEAST_NORMAL = 3
"""Parts of the normal window without which nothing says how odd a metric may be."""
HALVES, AFTER = 2, 2
"""Periods 0 and 1 are the halves of the normal window, period 2 is the anomalous one."""


@dataclass(frozen=True)
class Finding:
    """One thing that changed: what it is of a component, and by how many chance levels."""

    component: str
    name: str
    score: float
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Surprise:
    """What one source found, strongest first."""

    source: str
    findings: tuple[Finding, ...]

    @property
    def strength(self) -> float:
        """The largest score; above 1 the source has seen something that chance does not explain."""
        return self.findings[0].score if self.findings else 0.0

    def components(self) -> dict[str, float]:
        """Return each component's largest score."""
        scores: dict[str, float] = {}
        for each in self.findings:
            scores[each.component] = max(each.score, scores.get(each.component, 0.0))
        return scores


def thirds(times: Ints, at: Periods) -> Ints:
    """Return the period of each time: 0 and 1 for the halves of the normal window, 2, or -1."""
    normal, after = at.normal(times), at.anomalous(times)
    middle = np.median(times[normal]) if normal.any() else 0
    return np.where(after, AFTER, np.where(normal, (times > middle).astype(np.int64), -1))


def in_logs(case: CaseView, at: Periods, spans: Spans | None) -> Surprise:
    """Find templates that a component writes more or less often than the traffic explains.

    Where log lines carry the id of their span or trace, traffic is the number of spans of the same
    operation, and what counts is how many of them write the line at all; else traffic is the number
    of lines of all components.
    """
    logs = case.table("logs")
    spanned = _by_span(logs, at, spans) if spans is not None else None
    return _log_findings(*(spanned or _by_line(logs, at)))


def in_traces(spans: Spans, at: Periods) -> Surprise:
    """Find operations that take longer themselves, or fail more often, than before."""
    period = thirds(spans.trace_start_ns, at)[spans.trace]
    kept = period >= 0
    operations = len(spans.operations)
    cell = spans.operation[kept] * (HALVES + 1) + period[kept]
    mean, spread, size = mean_and_spread(
        np.log1p(spans.own_ms[kept]), cell, operations * (HALVES + 1)
    )
    shape = (operations, HALVES + 1)
    slower = _welch(mean.reshape(shape), spread.reshape(shape), size.reshape(shape))
    failed = np.bincount(cell, spans.error[kept].astype(np.float64), minlength=cell_count(shape))
    failing = _proportions(failed.reshape(shape), size.reshape(shape).astype(np.float64))
    names = [
        *((component, f"latency of {name}") for component, name in spans.operations),
        *((component, f"errors of {name}") for component, name in spans.operations),
    ]
    return _found("traces", names, np.concatenate([slower, failing]))


def in_metrics(data: Windows) -> Surprise:
    """Find metrics whose median left the range of the medians of the normal window.

    Returns
    -------
    Surprise
        Empty where the normal window is too short to say how odd a metric may be.
    """
    distances, before = data.distances(_scores.median_and_iqr)
    normal, after = distances[data.normal], distances[data.anomalous]
    width = min(after.shape[0], normal.shape[0] // _LEAST_NORMAL)
    if width < 1:
        return Surprise("metrics", ())
    median = np.nanmedian(after, axis=0)
    quiet = np.abs(_rolling_median(normal, width))
    score = np.abs(median) / np.fmax(np.fmax.reduce(quiet, axis=0), 1.0)
    score = np.nan_to_num(score) / max(_quiet_level(quiet, width), 1.0)
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
    return Surprise("metrics", tuple(sorted(findings, key=_strongest)))


def cell_count(shape: tuple[int, int]) -> int:
    """Return how many cells a table of a shape has."""
    return shape[0] * shape[1]


def _strongest(finding: Finding) -> tuple[float, str, str]:
    return -finding.score, finding.component, finding.name


def _found(source: str, names: list[tuple[str, str]], score: Floats) -> Surprise:
    """Divide scores that are standard normal by the level that their largest has by chance."""
    level = np.sqrt(2.0 * np.log(max(len(names), 2)))
    findings = [
        Finding(component, name, float(value / level))
        for (component, name), value in zip(names, score, strict=True)
    ]
    return Surprise(source, tuple(sorted(findings, key=_strongest)))


def _log_findings(names: list[tuple[str, str]], score: Floats) -> Surprise:
    return _found("logs", names, score)


def _excess(after: Floats, drift: Floats) -> Floats:
    return np.sqrt(np.clip(after**2 - drift**2, 0.0, None))


def _by_line(logs: pd.DataFrame, at: Periods) -> tuple[list[tuple[str, str]], Floats]:
    times = pd.DatetimeIndex(logs["timestamp"]).as_unit("ns").asi8
    counted = count_templates(logs, thirds(times, at), HALVES + 1)
    early, late, after = counted.counts.T
    normal = early + late
    ratio = _traffic(normal, after)
    drift = surprise(early, late, _traffic(early, late))
    return list(counted.keys), _excess(surprise(normal, after, ratio), drift)


def _traffic(before: Floats, after: Floats) -> Floats:
    """Return how many times the lines of before came after: the median over all lines."""
    both = before + after
    ratio = (after + _ANSCOMBE) / (before + _ANSCOMBE)
    order = np.argsort(ratio, kind="stable")
    heard = np.cumsum(both[order])
    if not heard.size or heard[-1] == 0:
        return np.ones(1)
    return ratio[order][[int(np.searchsorted(heard, heard[-1] / 2.0))]]


def _by_span(
    logs: pd.DataFrame, at: Periods, spans: Spans
) -> tuple[list[tuple[str, str]], Floats] | None:
    """Count the spans of each operation that write each template; None where no line has an id."""
    host = _host_spans(logs, spans)
    if not (host >= 0).any():
        return None
    period = thirds(spans.trace_start_ns, at)[spans.trace]
    parsed = drain.parse(logs["message"])
    known = (host >= 0) & (np.where(host >= 0, period[host], -1) >= 0)
    lines = np.unique(np.stack([host[known], parsed.ids[known]], axis=1), axis=0)
    operation, template = spans.operation[lines[:, 0]], lines[:, 1]
    pairs, pair = np.unique(np.stack([operation, template], axis=1), axis=0, return_inverse=True)
    periods = HALVES + 1
    shape = (len(pairs), periods)
    wrote = np.bincount(pair * periods + period[lines[:, 0]], minlength=cell_count(shape))
    all_spans = np.bincount(
        (spans.operation * periods + period)[period >= 0],
        minlength=len(spans.operations) * periods,
    ).reshape(-1, periods)
    names = [
        (spans.operations[operation][0], f"{spans.operations[operation][1]}: {text}")
        for operation, text in ((int(o), parsed.templates[t]) for o, t in pairs)
    ]
    return names, _proportions(
        wrote.reshape(shape).astype(np.float64), all_spans[pairs[:, 0]].astype(np.float64)
    )


def _host_spans(logs: pd.DataFrame, spans: Spans) -> Ints:
    """Return the row of the span that each line was written in, -1 where the line does not tell.

    A line that names only its trace belongs to the first span of its component there.
    """
    rows: dict[str, int] = {}
    for row in range(spans.size - 1, -1, -1):
        trace = spans.trace_ids[spans.trace[row]]
        rows[spans.span_ids[row]] = row
        rows[f"{trace} {spans.operations[spans.operation[row]][0]}"] = row
    hosts = np.full(len(logs), -1, dtype=np.int64)
    lines = zip(logs["message"], logs["component"], strict=True)
    for at, (message, component) in enumerate(lines):
        found = _IDS.findall(message[:_LONGEST])
        wanted = [*found, *(f"{each} {component}" for each in found)]
        row = next((rows[each] for each in wanted if each in rows), -1)
        if row >= 0 and spans.operations[spans.operation[row]][0] == component:
            hosts[at] = row
    return hosts


def _proportions(part: Floats, whole: Floats) -> Floats:
    """Return by how much proportions changed beyond their drift, in standard deviations.

    The arcsine of the square root of a proportion has nearly the same spread wherever it lies
    (Anscombe, Biometrika 1948). Shapes (rows, periods).
    """
    angle = np.arcsin(np.sqrt(np.clip((part + _ANSCOMBE) / (whole + 2 * _ANSCOMBE), 0.0, 1.0)))
    normal_part, normal_whole = part[:, :HALVES].sum(axis=1), whole[:, :HALVES].sum(axis=1)
    normal = np.arcsin(
        np.sqrt(np.clip((normal_part + _ANSCOMBE) / (normal_whole + 2 * _ANSCOMBE), 0.0, 1.0))
    )

    def apart(left: Floats, left_size: Floats, right: Floats, right_size: Floats) -> Floats:
        return 2.0 * (left - right) / np.sqrt(1.0 / (left_size + 0.5) + 1.0 / (right_size + 0.5))

    after = apart(angle[:, AFTER], whole[:, AFTER], normal, normal_whole)
    return _excess(after, apart(angle[:, 1], whole[:, 1], angle[:, 0], whole[:, 0]))


def _welch(mean: Floats, spread: Floats, size: Ints) -> Floats:
    """Return by how much means changed beyond their drift, in standard errors; 0 if unknown.

    Shapes (rows, periods).
    """
    count = size.astype(np.float64)
    known = np.where(size > 0, mean, 0.0)
    normal_count = count[:, :HALVES].sum(axis=1)
    divisor = np.maximum(normal_count, 1.0)
    normal = (known[:, :HALVES] * count[:, :HALVES]).sum(axis=1) / divisor
    square = np.where(size > 0, spread**2 + mean**2, 0.0)
    variance = (square[:, :HALVES] * count[:, :HALVES]).sum(axis=1) / divisor - normal**2

    def apart(left: Floats, right: Floats, left_n: Floats, right_n: Floats) -> Floats:
        enough = (left_n >= 3) & (right_n >= 3)
        error = np.sqrt(
            (np.clip(variance, 0.0, None) + 1e-3)
            * (1.0 / np.maximum(left_n, 1.0) + 1.0 / np.maximum(right_n, 1.0))
        )
        return np.where(enough, (left - right) / error, 0.0)

    after = apart(known[:, AFTER], normal, count[:, AFTER], normal_count)
    return _excess(after, apart(known[:, 1], known[:, 0], count[:, 1], count[:, 0]))


def _rolling_median(values: Floats, width: int) -> Floats:
    """Return the median of every ``width`` steps on end; NaN only where none is known."""
    windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=0)
    known = np.isfinite(windows).any(axis=-1)
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
