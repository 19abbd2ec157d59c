# SPDX-License-Identifier: Apache-2.0
"""Which templates a component writes more or less often than its traffic explains.

Where log lines carry the id of their span or trace, the traffic is the number of traces that come
by the same operation, and what counts is in how many of them it writes the line at all: a loop
writes many lines, and they are not independent. Else the traffic is the lines of all components.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.logs import drain
from rca_engine.logs.templates import count_templates, surprise
from rca_engine.methods._periods import Periods
from rca_engine.methods._scores import Floats, Ints
from rca_engine.methods._surprise import (
    AFTER,
    HALVES,
    PERIODS,
    Surprise,
    excess,
    found,
    proportions,
    thirds,
)
from rca_engine.methods._traces import Spans, visits_of
from rca_engine.ranking import LogEvidence

_IDS = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{16}|[0-9a-f]{32})(?![0-9A-Za-z])")
_LONGEST = 2000
_ANSCOMBE = 3.0 / 8.0


def in_logs(case: CaseView, at: Periods, spans: Spans | None) -> Surprise:
    """Find templates that a component writes more or less often than its traffic explains."""
    logs = case.table("logs")
    spanned = _by_operation(logs, at, spans) if spans is not None else None
    return spanned or _by_line(logs, at)


def _by_line(logs: pd.DataFrame, at: Periods) -> Surprise:
    times = pd.DatetimeIndex(logs["timestamp"]).as_unit("ns").asi8
    counted = count_templates(logs, thirds(times, at), PERIODS)
    early, late, after = counted.counts.T
    normal = early + late
    drift = surprise(early, late, _traffic(early, late))
    score = excess(surprise(normal, after, _traffic(normal, after)), drift)
    signals = [
        LogEvidence(template, float(before), float(later), sample, unit="1")
        for (_, template), before, later, sample in zip(
            counted.keys, normal, after, counted.samples, strict=True
        )
    ]
    return found("logs", list(counted.keys), score, signals)


def _traffic(before: Floats, after: Floats) -> Floats:
    """Return how many times the lines of before came after: the median over all lines."""
    both = before + after
    ratio = (after + _ANSCOMBE) / (before + _ANSCOMBE)
    order = np.argsort(ratio, kind="stable")
    heard = np.cumsum(both[order])
    if not heard.size or heard[-1] == 0:
        return np.ones(1)
    return ratio[order][[int(np.searchsorted(heard, heard[-1] / 2.0))]]


def _by_operation(logs: pd.DataFrame, at: Periods, spans: Spans) -> Surprise | None:
    """Count the traces in which an operation writes a template; None where no line has an id."""
    host = _host_spans(logs, spans)
    if not (host >= 0).any():
        return None
    visits = visits_of(spans)
    period = thirds(spans.trace_start_ns, at)[visits.trace]
    parsed = drain.parse(logs["message"])
    told = np.flatnonzero(host >= 0)
    told = told[period[visits.of_span[host[told]]] >= 0]
    lines, first = np.unique(
        np.stack([visits.of_span[host[told]], parsed.ids[told]], axis=1),
        axis=0,
        return_index=True,
    )
    pairs, pair_first, pair = np.unique(
        np.stack([visits.operation[lines[:, 0]], lines[:, 1]], axis=1),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    wrote = _table(pair, period[lines[:, 0]], len(pairs))
    came = _table(visits.operation[period >= 0], period[period >= 0], len(spans.operations))
    samples = logs["message"].to_numpy()[told[first[pair_first]]]
    names, signals = [], []
    for (operation, template), counts, sample in zip(pairs, wrote, samples, strict=True):
        component, name = spans.operations[operation]
        text = parsed.templates[template]
        names.append((component, f"{name}: {text}"))
        before, after = float(counts[:HALVES].sum()), float(counts[AFTER])
        signals.append(LogEvidence(text, before, after, str(sample), unit="1"))
    return found("logs", names, proportions(wrote, came[pairs[:, 0]]), signals)


def _table(row: Ints, period: Ints, rows: int) -> Floats:
    counts = np.bincount(row * PERIODS + period, minlength=rows * PERIODS)
    return counts.reshape(rows, PERIODS).astype(np.float64)


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
