# SPDX-License-Identifier: Apache-2.0
"""The head's router: power of two choices by outstanding requests, with a bound and a queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from rca_engine.simulator.replica import Replica
from rca_engine.simulator.settings import Setting
from rca_engine.simulator.workload import Request


class Router:
    """Chooses a replica for each request; what no replica may take waits here.

    Of two replicas drawn at random the one with fewer outstanding requests gets it, as in Ray
    Serve: so a slow replica gets less, but a dead one that is still listed gets most.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        max_ongoing: int,
        max_queued: int,
        rng: np.random.Generator,
    ) -> None:
        self._replicas, self._rng, self._max_queued = replicas, rng, max_queued
        self.max_ongoing = Setting(max_ongoing)
        self.queue: deque[Request] = deque()
        self.queued: list[tuple[float, int]] = []
        """(time, length of the queue) at every change."""

    def admit(self, request: Request, now: float) -> bool:
        """Take a request into the queue; False if the queue is full."""
        if len(self.queue) >= self._max_queued:
            return False
        self.queue.append(request)
        self._note(now)
        return True

    def next(self, now: float) -> tuple[Request, Replica] | None:
        """Take the first request from the queue if a replica may have it."""
        while self.queue and self.queue[0].over:
            self.queue.popleft()
        replica = self._choose() if self.queue else None
        if replica is None:
            return None
        request = self.queue.popleft()
        self._note(now)
        replica.outstanding += 1
        return request, replica

    def forget(self, request: Request, now: float) -> None:
        """Drop a request whose client has gone from the queue."""
        if request in self.queue:
            self.queue.remove(request)
            self._note(now)

    def _choose(self) -> Replica | None:
        free = [
            each
            for each in self._replicas
            if each.listed.value and each.outstanding < self.max_ongoing.value
        ]
        if len(free) <= 1:
            return free[0] if free else None
        one, two = (free[int(each)] for each in self._rng.choice(len(free), 2, replace=False))
        return two if two.outstanding < one.outstanding else one

    def _note(self, now: float) -> None:
        self.queued.append((now, len(self.queue)))
