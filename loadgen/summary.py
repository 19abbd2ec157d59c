# SPDX-License-Identifier: Apache-2.0
"""The figures of a run, from its records alone (``schemas/summary.json``).

Only the measured phase counts; every scheduled request of it counts, also those that failed, were
cut off or never sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from loadgen.audit import Audit
from loadgen.events import Events
from loadgen.profile import Profile
from loadgen.records import MEASURED, Record
from loadgen.schedule import Schedule
from loadgen.shard import WHOLE, Shard
from loadgen.stats import spread
from loadgen.windows import describe_windows
from rcalab_common.slo import Slo, first_breach
from rcalab_common.times import format_utc

FORMAT = 1

_LATENCIES = (
    "response_ttft_ms",
    "response_latency_ms",
    "service_ttft_ms",
    "service_latency_ms",
    "tpot_ms",
)
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run was to do, as its summary tells it.

    Parameters
    ----------
    profile
        :meth:`loadgen.profile.Profile.to_dict`.
    sha256, requests, warmup, duration_s
        Of the whole schedule. A closed loop has no ``requests`` and no ``warmup``; ``duration_s``
        is ``None`` where such a loop ends by count.
    """

    profile: Mapping[str, Any]
    sha256: str
    requests: int
    warmup: int
    duration_s: float | None

    @classmethod
    def of(cls, profile: Profile, schedule: Schedule) -> Self:
        """Return what a profile and its schedule ask for."""
        return cls(
            profile=profile.to_dict(),
            sha256=schedule.sha256,
            requests=len(schedule.offsets_ns),
            warmup=schedule.warmup,
            duration_s=schedule.duration_s,
        )

    @property
    def closed(self) -> bool:
        """Whether users send when they are ready."""
        return self.profile["closed"] is not None

    @property
    def slo(self) -> Slo:
        """What a good request is."""
        return Slo(**self.profile["slo"])

    @property
    def processes(self) -> int:
        """How many processes sent on each machine."""
        return int(self.profile["processes"])

    def span_ns(self, start_ns: int, end_ns: int, duration_s: float) -> tuple[int, int]:
        """Return start and end of the measured phase of a run, which may have ended before it."""
        measured_ns = start_ns + round(self.profile["warmup_s"] * _NS)
        return measured_ns, min(end_ns, measured_ns + round(duration_s * _NS))


def summarise(
    records: Iterable[Record],
    *,
    asked: Asked,
    start_ns: int,
    end_ns: int,
    audit: Audit,
    interrupted: bool,
    shard: Shard = WHOLE,
    clock: Mapping[str, int] | None = None,
    calibration: Mapping[str, Any] | None = None,
    events: Events | None = None,
) -> dict[str, Any]:
    """Compute ``summary.json``.

    Parameters
    ----------
    records
        Those of the run, in any order.
    asked
        What was asked for.
    start_ns, end_ns
        Start and end of the run, epoch nanoseconds.
    audit
        What the client saw of itself.
    interrupted
        Whether somebody ended the run before its time.
    shard
        Which of the scheduled requests were this run's to send.
    clock
        Wall clock less monotonic clock at the start, and how far the wall clock went since, ns.
    calibration
        How prompts were made exact, if they were.
    events
        Windows that were marked, if any were asked for.
    """
    slo = asked.slo
    everything = list(records)
    measured = [record for record in everything if record.phase == MEASURED]
    done = [record for record in measured if record.success]
    met = [_met(record, slo) for record in measured]
    lag = [(record.sent_ns - record.scheduled_ns) / 1e6 for record in everything]
    verdict, reasons = audit.verdict(spread(lag)["p99"])
    # Users of a closed loop send what they get to: all that is scheduled is what was sent.
    scheduled = len(measured) if asked.closed else len(shard.of(asked.requests, asked.warmup))
    duration_s = asked.duration_s or _span_s(measured)
    return {
        "format": FORMAT,
        "start": format_utc(start_ns),
        "end": format_utc(end_ns),
        "interrupted": interrupted,
        "shard": None if shard == WHOLE else {"index": shard.index, "count": shard.count},
        "profile": dict(asked.profile),
        "schedule": {
            "sha256": asked.sha256,
            "requests": len(everything) if asked.closed else asked.requests,
            "warmup": len(everything) - len(measured) if asked.closed else asked.warmup,
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
            "first_breach": _breach(measured, met, slo),
        },
        "windows": None
        if events is None
        else describe_windows(
            events, measured, slo, span_ns=asked.span_ns(start_ns, end_ns, duration_s)
        ),
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
            "processes": asked.processes,
        },
        "clock": dict(clock) if clock is not None else None,
        "calibration": dict(calibration) if calibration is not None else None,
    }


def _span_s(records: Sequence[Record]) -> float:
    """Return how long the records' requests took together, for a phase that ended by count."""
    if not records:
        return 1.0
    start = min(record.scheduled_ns for record in records)
    return max(1e-9, (max(record.end_ns for record in records) - start) / 1e9)


def _values(records: Sequence[Record], name: str) -> list[float]:
    return [value for record in records if (value := getattr(record, name)) is not None]


def _met(record: Record, slo: Slo) -> bool:
    return slo.met(
        success=record.success,
        ttft_ms=record.response_ttft_ms,
        latency_ms=record.response_latency_ms,
    )


def _breach(records: Sequence[Record], met: list[bool], slo: Slo) -> dict[str, Any] | None:
    breach = first_breach([record.scheduled_ns for record in records], met, slo)
    if breach is None:
        return None
    return {
        "time": format_utc(breach.time_ns),
        "attainment": breach.attainment,
        "target": slo.target,
        "due": breach.due,
    }
