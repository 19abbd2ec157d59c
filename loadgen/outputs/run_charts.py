# SPDX-License-Identifier: Apache-2.0
"""The charts of one run, over the seconds since its start."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from loadgen.outputs.timeseries import Second, seconds_of, windows_of
from loadgen.records import Record
from loadgen.result import Result
from rcalab_common.charts import Chart, band, dots, figure, level, line, moment
from rcalab_common.times import parse_utc
from rcalab_common.words import quantity, seconds

_DRAWN_REQUESTS = 4000
_NS = 1_000_000_000


def run_charts(result: Result) -> tuple[list[Chart], list[tuple[str, str]]]:
    """Return the charts of a run, and what is marked on all of them, as CSS class and text."""
    records = result.records()
    rows = seconds_of(result, records)
    board = _Board(result, rows)
    charts = [
        board.ttft(records),
        board.requests(records),
        board.plain(
            "in-flight",
            "Requests in flight",
            "sent, and not ended",
            [float(row.in_flight) for row in rows],
            "",
        ),
        board.plain(
            "tokens",
            "Output tokens",
            f"{sum(row.output_tokens for row in rows):,.0f} tokens received",
            [row.output_tokens for row in rows],
            "1/s",
        ),
    ]
    return charts, board.marks


class _Board:
    """What the charts of a run share: the axis, and what is marked on it."""

    def __init__(self, result: Result, rows: Sequence[Second]) -> None:
        summary = result.summary
        self._rows = rows
        self._slo = result.asked.slo
        self._start_ns = parse_utc(summary["start"])
        self._length = float(len(rows))
        self._shapes: list[dict[str, Any]] = []
        self.marks: list[tuple[str, str]] = []
        for name, since, until in windows_of(summary, self._start_ns, self._length):
            self._shapes.append(band(since, until))
            self.marks.append(("band", f"{name}, {seconds(since)} to {seconds(until)}"))
        breach = summary["slo"]["first_breach"]
        if breach is not None:
            at = (parse_utc(breach["time"]) - self._start_ns) / _NS
            self._shapes.append(moment(at))
            self.marks.append(("alert", f"first SLO breach, {seconds(at)}"))
        # The middle of a second stands for it.
        self._middle = [row.elapsed_s + 0.5 for row in rows]

    def ttft(self, records: Sequence[Record]) -> Chart:
        done = [r for r in records if r.success and r.response_ttft_ms is not None]
        stride = max(1, -(-len(done) // _DRAWN_REQUESTS))
        drawn = sorted(done, key=lambda r: (r.scheduled_ns, r.index))[::stride]
        limit = self._slo.ttft_ms / 1000
        data = [
            dots(
                [(r.scheduled_ns - self._start_ns) / _NS for r in drawn],
                [(r.response_ttft_ms or 0.0) / 1000 for r in drawn],
                "--series-faint",
            ),
            self._line("p95", [_seconds(row.ttft_p95_ms) for row in self._rows], "--series-2"),
            self._line("p50", [_seconds(row.ttft_p50_ms) for row in self._rows], "--series-1"),
            level([0.0, self._length], limit, "--ink", dash="dot"),
        ]
        said = f"{len(done):,} successful requests; a failed one counts as infinitely slow"
        return self._chart(
            "ttft",
            "Time to first token, from the intended time",
            said,
            data,
            "s",
            keys=[
                ("dot", "a request" if stride == 1 else f"a request, one in {stride} drawn"),
                ("line-1", "p50 of what was due in a second"),
                ("line-2", "p95, which breaks where it is infinite"),
                ("dotted", f"SLO {quantity(limit, 's')}"),
            ],
            height=260,
        )

    def requests(self, records: Sequence[Record]) -> Chart:
        rows = self._rows
        failures = Counter(str(record.outcome) for record in records if not record.success)
        how = ", ".join(f"{count:,} {name}" for name, count in sorted(failures.items()))
        said = f"{len(records):,} requests, {failures.total():,} failed" + (
            f" ({how})" if how else ""
        )
        data = [
            self._line("due", [float(row.due) for row in rows], "--series-faint"),
            self._line("succeeded", [float(row.ok) for row in rows], "--series-1"),
            self._line("failed", [float(row.failed) for row in rows], "--series-2", fill=True),
        ]
        keys = [("line-faint", "due"), ("line-1", "succeeded"), ("line-2", "failed")]
        return self._chart("requests", "Requests", said, data, "1/s", keys=keys)

    def plain(self, name: str, title: str, said: str, values: list[float], unit: str) -> Chart:
        """Return a chart of one line."""
        return self._chart(name, title, said, [self._line(name, values, "--series-1")], unit)

    def _line(
        self, name: str, values: list[float], color: str, *, fill: bool = False
    ) -> dict[str, Any]:
        return line(name, self._middle, values, color, hover="%{y:.3~f}", fill=fill)

    def _chart(
        self,
        name: str,
        title: str,
        said: str,
        data: list[dict[str, Any]],
        unit: str,
        *,
        keys: Sequence[tuple[str, str]] = (),
        height: int = 190,
    ) -> Chart:
        return Chart(
            id=name,
            title=title,
            subtitle=said,
            summary=f"{title} over the run: {said}.",
            keys=tuple(keys),
            figure=figure(
                data, unit, height=height, x_range=(0.0, self._length), marks=self._shapes
            ),
        )


def _seconds(ms: float | None) -> float:
    return math.nan if ms is None else ms / 1000
