# SPDX-License-Identifier: Apache-2.0
"""The load generator's judgement of itself: how far its figures can be trusted.

Late sends and a busy event loop make a healthy service look slow. Both are measured all along, and
the verdict says what they allow.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from dataclasses import dataclass
from enum import StrEnum

from loadgen.stats import quantile

_INTERVAL_S = 0.01

DEGRADED_LAG_MS = 25.0
"""Lag (p99) from which figures of some tens of milliseconds are no longer the service's own."""

INVALID_LAG_MS = 250.0
"""Lag (p99) from which the figures say more about the client than about the service."""

DEGRADED_CPU, INVALID_CPU = 0.7, 0.95
"""Share of one core: a process of the client has one thread."""


class Verdict(StrEnum):
    """How far the figures of a run can be trusted."""

    VALID = "valid"
    DEGRADED = "degraded"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the client measured of itself, in one process or in several.

    Parameters
    ----------
    wall_s, cpu_s
        Length of the run, and the CPU time of its processes in it.
    loop_lag_ms
        How late the event loop woke a task, every 10 ms.
    own_errors
        Requests that failed for want of the client's own sockets.
    busiest_cpu_s
        CPU time of the busiest of several processes; ``None`` where there is one.
    """

    wall_s: float
    cpu_s: float
    loop_lag_ms: list[float]
    own_errors: int
    busiest_cpu_s: float | None = None

    def join(self, other: Audit) -> Audit:
        """Put the books of two processes of one run together."""
        busiest = max(
            self.cpu_s if self.busiest_cpu_s is None else self.busiest_cpu_s,
            other.cpu_s if other.busiest_cpu_s is None else other.busiest_cpu_s,
        )
        return Audit(
            wall_s=max(self.wall_s, other.wall_s),
            cpu_s=self.cpu_s + other.cpu_s,
            loop_lag_ms=self.loop_lag_ms + other.loop_lag_ms,
            own_errors=self.own_errors + other.own_errors,
            busiest_cpu_s=busiest,
        )

    def verdict(self, schedule_lag_p99_ms: float | None) -> tuple[Verdict, list[str]]:
        """Judge the run, with a reason for each doubt."""
        doubts: list[tuple[Verdict, str]] = []
        for name, lag_ms in (
            ("sends", schedule_lag_p99_ms),
            ("event loop", quantile(sorted(self.loop_lag_ms), 0.99)),
        ):
            if lag_ms is not None and lag_ms > DEGRADED_LAG_MS:
                level = Verdict.INVALID if lag_ms > INVALID_LAG_MS else Verdict.DEGRADED
                doubts.append((level, f"{name} {lag_ms:.0f} ms late (p99)"))
        cpu_s = self.cpu_s if self.busiest_cpu_s is None else self.busiest_cpu_s
        share = cpu_s / self.wall_s if self.wall_s > 0 else 0.0
        if share > DEGRADED_CPU:
            level = Verdict.INVALID if share > INVALID_CPU else Verdict.DEGRADED
            doubts.append((level, f"the client used {share:.0%} of a core"))
        if self.own_errors:
            reason = f"{self.own_errors} requests failed as the client ran out of sockets"
            doubts.append((Verdict.INVALID, reason))
        worst = max((level for level, _ in doubts), key=list(Verdict).index, default=Verdict.VALID)
        return worst, [reason for _, reason in doubts]


class SelfWatch:
    """Samples the event loop's lag while a run goes on, and its process's CPU time."""

    def __init__(self) -> None:
        self._lag_ms = array("d")
        self._wall_ns, self._cpu_ns = time.monotonic_ns(), time.process_time_ns()

    async def sample(self) -> None:
        """Sample until cancelled."""
        while True:
            due = time.monotonic() + _INTERVAL_S
            await asyncio.sleep(_INTERVAL_S)
            self._lag_ms.append(max(0.0, (time.monotonic() - due) * 1e3))

    def audit(self, own_errors: int) -> Audit:
        """Close the books."""
        return Audit(
            wall_s=(time.monotonic_ns() - self._wall_ns) / 1e9,
            cpu_s=(time.process_time_ns() - self._cpu_ns) / 1e9,
            loop_lag_ms=list(self._lag_ms),
            own_errors=own_errors,
        )
