# SPDX-License-Identifier: Apache-2.0
"""``timeseries.csv``: what was due, sent, ended and seen in each second of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

from loadgen.records import Record
from loadgen.result import Result
from loadgen.stats import quantile
from rcalab_common.files import whole_file
from rcalab_common.slo import Slo
from rcalab_common.times import format_utc, parse_utc

NAME = "timeseries.csv"

_NS = 1_000_000_000


@dataclass(slots=True)
class Second:
    """One second of a run; its fields are the columns of the file.

    ``due``, ``met``, ``attainment`` and the quantiles are of the requests that were due in it,
    whenever they ended; a quantile that failures made infinite is ``inf``. ``sent``, ``ok``,
    ``failed`` and ``output_tokens`` count what happened in it; ``in_flight`` is at its end.
    """

    time: str
    elapsed_s: int
    phase: str
    due: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    in_flight: int = 0
    met: int = 0
    attainment: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    output_tokens: float = 0.0
    windows: str = ""


@dataclass(slots=True)
class _Due:
    """What was due in one second."""

    ttft_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    failures: int = 0


def seconds_of(result: Result, records: Sequence[Record]) -> list[Second]:
    """Return the seconds of a run from its start to its last end, warm-up included."""
    summary, slo = result.summary, result.asked.slo
    start_ns = parse_utc(summary["start"])
    last_ns = max((record.end_ns for record in records), default=start_ns)
    length = (last_ns - start_ns) // _NS + 1
    warmup_s = summary["profile"]["warmup_s"]
    rows = [
        Second(
            time=format_utc(start_ns + number * _NS),
            elapsed_s=number,
            phase="warmup" if number < warmup_s else "measured",
        )
        for number in range(length)
    ]
    due = [_Due() for _ in rows]
    for record in records:
        _count(record, rows, due, slo, start_ns)
    flown = accumulate(row.sent - row.ok - row.failed for row in rows)
    for row, asked, flying in zip(rows, due, flown, strict=True):
        row.in_flight = flying
        _close(row, asked)
    for name, since_s, until_s in windows_of(summary, start_ns, length):
        for row in rows[max(0, int(since_s)) : max(0, -int(-until_s // 1))]:
            row.windows = f"{row.windows};{name}" if row.windows else name
    return rows


def windows_of(
    summary: dict[str, Any], start_ns: int, length: float
) -> Iterator[tuple[str, float, float]]:
    """Yield name, start and end of each marked window, in seconds since the start of the run."""
    for window in (summary["windows"] or {"marked": []})["marked"]:
        end = length if window["end"] is None else (parse_utc(window["end"]) - start_ns) / _NS
        yield window["name"], (parse_utc(window["start"]) - start_ns) / _NS, end


def write_timeseries(result: Result) -> Path:
    """Write ``timeseries.csv`` into a run's folder."""
    names = [each.name for each in fields(Second)]
    path = result.folder / NAME
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in seconds_of(result, result.records()):
            writer.writerow(_cell(getattr(row, name)) for name in names)
    return path


def _count(record: Record, rows: list[Second], due: list[_Due], slo: Slo, start_ns: int) -> None:
    place = (record.scheduled_ns - start_ns) // _NS
    rows[place].due += 1
    rows[(record.sent_ns - start_ns) // _NS].sent += 1
    ended = rows[(record.end_ns - start_ns) // _NS]
    if record.success:
        ended.ok += 1
    else:
        ended.failed += 1
        due[place].failures += 1
    ttft_ms, latency_ms = record.response_ttft_ms, record.response_latency_ms
    rows[place].met += slo.met(success=record.success, ttft_ms=ttft_ms, latency_ms=latency_ms)
    if record.success and ttft_ms is not None:
        due[place].ttft_ms.append(ttft_ms)
    if record.success and latency_ms is not None:
        due[place].latency_ms.append(latency_ms)
    _spread_tokens(record, rows, start_ns)


def _spread_tokens(record: Record, rows: list[Second], start_ns: int) -> None:
    """Lay the tokens of an answer evenly from its first to its last frame with content."""
    first, last, tokens = record.first_token_ns, record.last_token_ns, record.output_tokens
    if first is None or last is None or not tokens:
        return
    since, until = first - start_ns, last - start_ns
    if until == since:
        rows[since // _NS].output_tokens += tokens
        return
    for second in range(since // _NS, min(until // _NS + 1, len(rows))):
        inside = min(until, (second + 1) * _NS) - max(since, second * _NS)
        rows[second].output_tokens += tokens * inside / (until - since)


def _close(row: Second, due: _Due) -> None:
    if not row.due:
        return
    row.attainment = row.met / row.due
    row.ttft_p50_ms = _ranked(due.ttft_ms, 0.5, due.failures)
    row.ttft_p95_ms = _ranked(due.ttft_ms, 0.95, due.failures)
    row.latency_p50_ms = _ranked(due.latency_ms, 0.5, due.failures)
    row.latency_p95_ms = _ranked(due.latency_ms, 0.95, due.failures)


def _ranked(values: list[float], share: float, failures: int) -> float:
    found = quantile(sorted(values), share, failures)
    return float("inf") if found is None else found


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value
