# SPDX-License-Identifier: Apache-2.0
"""What a window did to the client: before, during and after, and how long it took to see and mend.

The same sliding windows as those of the SLO's first breach (:mod:`rcalab_common.slo`) decide when
trouble was seen and when it was over, so that all figures speak of the same thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from loadgen.events import Events, Window
from loadgen.records import Record
from loadgen.stats import spread
from rcalab_common.slo import Slo, stretches
from rcalab_common.times import format_utc

_NS = 1_000_000_000
_LATENCIES = ("response_ttft_ms", "response_latency_ms")


def describe_windows(
    events: Events, records: Sequence[Record], slo: Slo, *, span_ns: tuple[int, int]
) -> dict[str, Any]:
    """Compute the summary's ``windows``.

    Parameters
    ----------
    events
        What was marked.
    records
        Of the measured phase. Each counts where it was due, not where it ended.
    slo
        What a good request is.
    span_ns
        Start and end of the measured phase. A window that was never ended ends with it.
    """
    start_ns, end_ns = span_ns
    inside, problems = [], events.all_problems()
    for window in events.windows():
        if window.start_ns >= end_ns or (window.end_ns or end_ns) <= start_ns:
            problems.append(f"window {window.name!r} lies outside of the measured phase")
        else:
            inside.append(window)
    marked = [_Marked(window, inside, start_ns, end_ns) for window in inside]
    return {
        "source": events.source,
        "problems": problems,
        "marked": [each.figures(records, slo) for each in marked],
    }


class _Marked:
    """One window and its surroundings.

    ``before`` begins where the window that ended last before it ended, ``after`` lasts to the next
    window that starts after it.
    """

    def __init__(
        self, window: Window, windows: Sequence[Window], start_ns: int, end_ns: int
    ) -> None:
        self.window = window
        self.start_ns = max(start_ns, window.start_ns)
        self.end_ns = min(end_ns, window.end_ns or end_ns)
        others = [other for other in windows if other is not window]
        ends = [other.end_ns for other in others if other.end_ns is not None]
        self.before_ns = max([start_ns, *(end for end in ends if end <= self.start_ns)])
        starts = [other.start_ns for other in others if other.start_ns >= self.end_ns]
        self.after_ns = min([end_ns, *starts])

    def figures(self, records: Sequence[Record], slo: Slo) -> dict[str, Any]:
        met = [
            slo.met(
                success=record.success,
                ttft_ms=record.response_ttft_ms,
                latency_ms=record.response_latency_ms,
            )
            for record in records
        ]
        phases = {
            name: _phase(records, met, since_ns, until_ns)
            for name, since_ns, until_ns in (
                ("before", self.before_ns, self.start_ns),
                ("during", self.start_ns, self.end_ns),
                ("after", self.end_ns, self.after_ns),
            )
        }
        before, during = phases["before"]["goodput_per_s"], phases["during"]["goodput_per_s"]
        return {
            "name": self.window.name,
            "start": format_utc(self.window.start_ns),
            "end": None if self.window.end_ns is None else format_utc(self.window.end_ns),
            **phases,
            "availability": phases["during"]["availability"],
            "lost": phases["during"]["failed"],
            "late": phases["during"]["late"],
            "goodput_ratio": during / before if before and during is not None else None,
            **self._times([record.scheduled_ns for record in records], met, slo),
        }

    def _times(self, due_ns: list[int], met: list[bool], slo: Slo) -> dict[str, Any]:
        """Say when trouble was seen, and from when on it was over."""
        seen = [each for each in stretches(due_ns, met, slo) if each.due]
        breaches = [each.end_ns for each in seen if not each.holds(slo.target)]
        earlier = [each for each in seen if each.end_ns <= self.start_ns]
        troubled = bool(earlier) and not earlier[-1].holds(slo.target)
        # A breach after the window's end may still be its: what was due in it ends later.
        within = [end for end in breaches if self.start_ns < end <= self.after_ns]
        detected = None if troubled or not within else within[0]
        recovered = None
        if within and self.window.end_ns is not None:
            # Windows that hold nothing of the time before, from the end on, second by second.
            later = stretches(due_ns, met, slo, start_ns=self.end_ns)
            good = (each for each in later if each.due and each.holds(slo.target))
            length = round(slo.window_s * _NS)
            first = next((each.end_ns for each in good if each.end_ns <= self.after_ns), None)
            recovered = None if first is None else first - length
        return {
            "troubled_before": troubled,
            "detected": detected is not None,
            "time_to_detect_s": None if detected is None else (detected - self.start_ns) / _NS,
            "recovered": None if not within else recovered is not None,
            "time_to_recover_s": None if recovered is None else (recovered - self.end_ns) / _NS,
            "relapsed": recovered is not None
            and any(recovered + round(slo.window_s * _NS) < end for end in within),
        }


def _phase(
    records: Sequence[Record], met: Sequence[bool], since_ns: int, until_ns: int
) -> dict[str, Any]:
    chosen = [
        (record, good)
        for record, good in zip(records, met, strict=True)
        if since_ns <= record.scheduled_ns < until_ns
    ]
    due = [record for record, _ in chosen]
    done = [record for record in due if record.success]
    good = sum(good for _, good in chosen)
    length_s = max(0, until_ns - since_ns) / _NS
    gaps = [record.max_gap_ms for record in due if record.max_gap_ms is not None]
    return {
        "seconds": length_s,
        "due": len(due),
        "success": len(done),
        "failed": len(due) - len(done),
        "late": len(done) - good,
        "outcomes": dict(sorted(Counter(str(record.outcome) for record in due).items())),
        "availability": len(done) / len(due) if due else None,
        "attainment": good / len(due) if due else None,
        "goodput_per_s": good / length_s if length_s else None,
        "max_gap_ms": max(gaps, default=None),
        "with_failures": {
            name: spread(
                [value for record in done if (value := getattr(record, name)) is not None],
                failures=len(due) - len(done),
            )
            for name in _LATENCIES
        },
    }
