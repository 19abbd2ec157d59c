# SPDX-License-Identifier: Apache-2.0
"""The figures of a run, from its records alone (``schemas/summary.json``).

Only the measured phase counts; every scheduled request of it counts, also those that failed, were
cut off or never sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loadgen.audit import Audit
from loadgen.profile import Profile
from loadgen.prompts.calibration import Calibration
from loadgen.records import MEASURED, Record
from loadgen.schedule import Schedule
from loadgen.stats import spread
from rcalab_common.slo import first_breach
from rcalab_common.times import format_utc

FORMAT = 1

_LATENCIES = (
    "response_ttft_ms",
    "response_latency_ms",
    "service_ttft_ms",
    "service_latency_ms",
    "tpot_ms",
)


def summarise(
    records: Iterable[Record],
    *,
    profile: Profile,
    schedule: Schedule,
    start_ns: int,
    end_ns: int,
    audit: Audit,
    interrupted: bool,
    clock: Mapping[str, int] | None = None,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Compute ``summary.json``.

    Parameters
    ----------
    records
        Those of the run, in any order.
    profile, schedule
        What was asked for.
    start_ns, end_ns
        Start and end of the run, epoch nanoseconds.
    audit
        What the client saw of itself.
    interrupted
        Whether somebody ended the run before its time.
    clock
        Wall clock less monotonic clock at the start, and how far the wall clock went since, ns.
    calibration
        How prompts were made exact, if they were.
    """
    everything = list(records)
    measured = [record for record in everything if record.phase == MEASURED]
    done = [record for record in measured if record.success]
    met = [_met(record, profile) for record in measured]
    lag = [(record.sent_ns - record.scheduled_ns) / 1e6 for record in everything]
    verdict, reasons = audit.verdict(spread(lag)["p99"])
    # Users of a closed loop send what they get to: all that is scheduled is what was sent.
    scheduled = len(measured) if profile.closed is not None else schedule.measured
    duration_s = schedule.duration_s or _span_s(measured)
    return {
        "format": FORMAT,
        "start": format_utc(start_ns),
        "end": format_utc(end_ns),
        "interrupted": interrupted,
        "profile": profile.to_dict(),
        "schedule": {
            "sha256": schedule.sha256,
            "requests": len(everything) if profile.closed else len(schedule.offsets_ns),
            "warmup": len(everything) - len(measured) if profile.closed else schedule.warmup,
            "duration_s": duration_s,
        },
        "requests": {
            "scheduled": scheduled,
            "issued": len(measured),
            "success": len(done),
            "failed": len(measured) - len(done),
            "outcomes": dict(sorted(Counter(str(record.outcome) for record in measured).items())),
        },
        "rates_per_s": {
            "scheduled": scheduled / duration_s,
            "issued": len(measured) / duration_s,
            "success": len(done) / duration_s,
            "output_tokens": sum(record.output_tokens or 0 for record in measured) / duration_s,
        },
        "successes": {name: spread(_values(done, name)) for name in _LATENCIES},
        "with_failures": {
            name: spread(_values(done, name), failures=scheduled - len(done))
            for name in _LATENCIES[:-1]
        },
        "slo": {
            "met": sum(met),
            "attainment": sum(met) / scheduled if scheduled else 0.0,
            "goodput_per_s": sum(met) / duration_s,
            "first_breach": _breach(measured, met, profile),
        },
        "token_sources": dict(
            sorted(Counter(record.token_source for record in done if record.token_source).items())
        ),
        "replicas": dict(
            sorted(Counter(record.replica for record in measured if record.replica).items())
        ),
        "audit": {
            "verdict": str(verdict),
            "reasons": reasons,
            "schedule_lag_ms": spread(lag),
            "loop_lag_ms": spread(audit.loop_lag_ms),
            "cpu_s": audit.cpu_s,
            "wall_s": audit.wall_s,
            "own_errors": audit.own_errors,
            "processes": profile.processes,
        },
        "clock": dict(clock) if clock is not None else None,
        "calibration": _calibrated(calibration),
    }


def _span_s(records: Sequence[Record]) -> float:
    """Return how long the records' requests took together, for a phase that ended by count."""
    if not records:
        return 1.0
    start = min(record.scheduled_ns for record in records)
    return max(1e-9, (max(record.end_ns for record in records) - start) / 1e9)


def _calibrated(calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {
        "exact": calibration.exact,
        "overhead_tokens": calibration.overhead_tokens,
        "tokens_per_word": calibration.tokens_per_word,
        "vocabulary": len(calibration.vocabulary),
        "probes": calibration.probes,
    }


def _values(records: Sequence[Record], name: str) -> list[float]:
    return [value for record in records if (value := getattr(record, name)) is not None]


def _met(record: Record, profile: Profile) -> bool:
    return profile.slo.met(
        success=record.success,
        ttft_ms=record.response_ttft_ms,
        latency_ms=record.response_latency_ms,
    )


def _breach(records: Sequence[Record], met: list[bool], profile: Profile) -> dict[str, Any] | None:
    breach = first_breach([record.scheduled_ns for record in records], met, profile.slo)
    if breach is None:
        return None
    return {
        "time": format_utc(breach.time_ns),
        "attainment": breach.attainment,
        "target": profile.slo.target,
        "due": breach.due,
    }
