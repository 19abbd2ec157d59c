# SPDX-License-Identifier: Apache-2.0
"""Ends a step in which requests pile up: more of it would only cost time.

A service that can't keep up shows two slopes at once, in the requests in flight and in the time to
the first token. Either alone happens to healthy ones too: in flight rises while a load begins, TTFT
while a cache is filled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import fmean

from loadgen.progress import Ended, Progress
from loadgen.search.intervals import least_slope

LOOK_BACK_S = 10
"""Seconds over which the slopes are taken."""

PILING_UP = 0.05
"""Share of the arrivals that must pile up, second by second, beyond doubt."""


class SaturationWatch:
    """Progress that is passed on, and a stop that is set when requests pile up.

    Parameters
    ----------
    inner
        Who is told too.
    stop
        Set to end the step.
    after_s
        How long after its start the step is looked at: its warm-up.
    """

    def __init__(self, inner: Progress, stop: asyncio.Event, after_s: float) -> None:
        self._inner, self._stop, self._after_s = inner, stop, after_s
        self._sent = self._ended = self._sent_before = 0
        self._ttft_ms: list[float] = []
        self._history: list[tuple[int, int, float | None]] = []
        self.saturated = False

    def sent(self) -> None:
        """Count a request that was sent."""
        self._sent += 1
        self._inner.sent()

    def finished(self, record: Ended) -> None:
        """Count a request that came to its end."""
        self._ended += 1
        if record.response_ttft_ms is not None:
            self._ttft_ms.append(record.response_ttft_ms)
        self._inner.finished(record)

    def tick(self, elapsed_s: float, total_s: float) -> None:
        """Look back, once a second."""
        arrived, self._sent_before = self._sent - self._sent_before, self._sent
        mean = fmean(self._ttft_ms) if self._ttft_ms else None
        self._ttft_ms = []
        if elapsed_s > self._after_s:
            self._history.append((self._sent - self._ended, arrived, mean))
            del self._history[:-LOOK_BACK_S]
            # Once the last request is sent, nothing piles up any more.
            if not self.saturated and (total_s == 0 or elapsed_s < total_s) and self._piles_up():
                self.saturated = True
                self._stop.set()
        self._inner.tick(elapsed_s, total_s)

    def mark(self, names: Sequence[str]) -> None:
        """Pass it on."""
        self._inner.mark(names)

    def close(self) -> None:
        """Pass it on."""
        self._inner.close()

    def _piles_up(self) -> bool:
        if len(self._history) < LOOK_BACK_S:
            return False
        arrived = fmean(arrived for _, arrived, _ in self._history)
        if least_slope([in_flight for in_flight, _, _ in self._history]) <= PILING_UP * arrived:
            return False
        times = [mean for _, _, mean in self._history if mean is not None]
        # Where nothing comes back at all, there is no time to first token to wait for.
        return not times or least_slope(times) > 0
