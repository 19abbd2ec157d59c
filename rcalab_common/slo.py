# SPDX-License-Identifier: Apache-2.0
"""The client's service-level objective, and the first time that it was broken.

``loadgen`` applies it to its records when a run ends, ``rca_engine`` to ``requests.parquet`` when
it looks at a case: one definition, so that both see the same alert.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """What a user of the service is promised.

    Parameters
    ----------
    ttft_ms, latency_ms
        Longest time to the first token and to the end, both from the request's intended time.
    target
        Share of the requests of a window that must keep both, in (0, 1].
    window_s
        Length of the sliding window, in seconds.

    Raises
    ------
    ValueError
        If a value is out of its range; the message names the field and the range.
    """

    ttft_ms: float = 1500.0
    latency_ms: float = 4000.0
    target: float = 0.9
    window_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("ttft_ms", "latency_ms", "window_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"SLO {name} must be a positive number, got {value!r}")
        if not 0 < self.target <= 1:
            raise ValueError(f"SLO target must be above 0 and at most 1, got {self.target!r}")

    def met(self, *, success: bool, ttft_ms: float | None, latency_ms: float | None) -> bool:
        """Say whether one request kept the objective; a failed one never does."""
        return (
            success
            and ttft_ms is not None
            and latency_ms is not None
            and ttft_ms <= self.ttft_ms
            and latency_ms <= self.latency_ms
        )


@dataclass(frozen=True, slots=True)
class Breach:
    """The first window that broke the objective: its end, and what was seen in it."""

    time_ns: int
    attainment: float
    due: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """One sliding window: its end, how many requests were due in it, how many met the SLO."""

    end_ns: int
    due: int
    kept: int

    def holds(self, target: float) -> bool:
        """Say whether enough of them did; one in which nothing was due says nothing against it."""
        return self.kept >= target * self.due


def stretches(
    due_ns: Sequence[int], met: Sequence[bool], slo: Slo, *, start_ns: int | None = None
) -> Iterator[Stretch]:
    """Yield the sliding windows of a load, in the order of time.

    Windows are half open, ``slo.window_s`` long and slide by one second from ``start_ns``, by
    default the first intended time; the last one ends within a second after the last intended
    time. A load shorter than one window is one window.

    Parameters
    ----------
    due_ns
        Intended times of the measured requests, epoch nanoseconds, in any order.
    met
        For each of them, whether it finished within the SLO (:meth:`Slo.met`).
    slo
        Gives ``window_s``.
    start_ns
        Start of the first window; requests due before it are in none.

    Raises
    ------
    ValueError
        If the two sequences differ in length.
    """
    pairs = sorted(zip(due_ns, met, strict=True))
    if not pairs:
        return
    times = [int(due) for due, _ in pairs]
    kept = [0]
    for _, ok in pairs:
        kept.append(kept[-1] + bool(ok))
    window = round(slo.window_s * _NS)
    end = (times[0] if start_ns is None else start_ns) + window
    while True:
        low, high = bisect_left(times, end - window), bisect_left(times, end)
        yield Stretch(end_ns=end, due=high - low, kept=kept[high] - kept[low])
        end += _NS
        if end > times[-1] + _NS:
            return


def first_breach(due_ns: Sequence[int], met: Sequence[bool], slo: Slo) -> Breach | None:
    """Find the end of the first window (:func:`stretches`) in which too few requests met the SLO.

    Returns
    -------
    Breach or None
        ``None`` where every window kept the target, or nothing was due.

    Raises
    ------
    ValueError
        If the two sequences differ in length.
    """
    for each in stretches(due_ns, met, slo):
        if not each.holds(slo.target):
            return Breach(time_ns=each.end_ns, attainment=each.kept / each.due, due=each.due)
    return None
