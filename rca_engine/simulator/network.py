# SPDX-License-Identifier: Apache-2.0
"""A link between two components: delay in each direction, loss with TCP's repair, or nothing.

A message is delayed once however many tokens stream over it, so delay shows in the time to first
token and not between tokens (``faults.md``, physics 4). A lost segment comes again after a
retransmission timeout that doubles with every further loss, and holds back what follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rca_engine.simulator.settings import Setting

_RTO_S = 0.2
_MOST_RETRIES = 6
_PROMPT_SEGMENTS = 4
BASE_RTT_S = 0.0004


@dataclass
class Link:
    """One link; ``delay_s`` is one way, ``loss`` the share of segments lost, ``up`` 0 or 1.

    ``retransmits`` holds the times at which segments were sent again.
    """

    id: str
    rng: np.random.Generator
    delay_s: Setting = field(default_factory=lambda: Setting(BASE_RTT_S / 2))
    loss: Setting = field(default_factory=lambda: Setting(0.0))
    up: Setting = field(default_factory=lambda: Setting(1.0))
    retransmits: list[float] = field(default_factory=list)
    messages: list[tuple[float, float]] = field(default_factory=list)
    """(time, bytes) of what was sent."""

    def send(self, now: float, size: float, segments: int = _PROMPT_SEGMENTS) -> float:
        """Send a message; return how long it takes to be there, in seconds."""
        self.messages.append((now, size))
        return self.delay_s.value + self._repair(now, segments)

    def stream_gap(self, now: float, tokens: int) -> float:
        """Return the longest wait for a lost segment in a stream of ``tokens``, in seconds."""
        if not self.loss.value:
            return 0.0
        return max((self._backoff(now) for _ in range(tokens)), default=0.0)

    def _repair(self, now: float, segments: int) -> float:
        return sum(self._backoff(now) for _ in range(segments)) if self.loss.value else 0.0

    def _backoff(self, now: float) -> float:
        """Return how late one segment is: the sum of the timeouts before it got through."""
        late = 0.0
        for attempt in range(_MOST_RETRIES):
            if self.rng.random() >= self.loss.value:
                break
            late += _RTO_S * 2**attempt
            self.retransmits.append(now + late)
        return late
