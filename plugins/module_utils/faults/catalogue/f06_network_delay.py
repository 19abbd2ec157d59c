# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F06: what a pod receives comes late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..contract import DURATION, Parameter, Target
from ..delay_queue import QUEUE, DelayQueue
from ..errors import RefusedError
from ..network import LOOPBACK
from ..network_fault import NetworkFault
from ..ping import round_trip_s
from ..undo import Undo
from ..undo_action import UndoAction

# How much of the intended delay must be seen (faults.md's 0.7 to 1.5 for a round trip).
_LEAST_SHARE = 0.7


class Delay(NetworkFault):
    """Hold every packet that a pod receives for a while."""

    id = "F06"
    name = "network_delay"
    summary = "Every packet that the pod receives comes so many milliseconds late."
    symptoms = (
        "The round trip to the pod, and with it the time to first token and every scrape, is "
        "longer by the delay; inter-token latency hardly changes; the engine is as fast as before."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"nfqueue": "netns"}
    parameters = (
        Parameter("delay_ms", 100, 1, 2000, "How late each packet comes, in milliseconds."),
        Parameter("jitter_ms", 0, 0, 1000, "Give or take so many milliseconds, drawn evenly."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        if self.values["jitter_ms"] > self.values["delay_ms"]:
            raise RefusedError("jitter_ms can't be more than delay_ms: no packet comes early")
        self._queue: DelayQueue | None = None
        self._before_s: float | None = None

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("scrape_duration_s", "network_receive_bytes_rate")

    def intended_dose(self) -> dict[str, float]:
        return {name: self.values[name] for name in ("delay_ms", "jitter_ms")}

    def preflight(self) -> None:
        super().preflight()
        if self._round_trip() is None:
            raise RefusedError(f"{self.target.pod.address} does not answer a ping")

    def capture(self) -> tuple[UndoAction, ...]:
        self._before_s = self._round_trip()
        return super().capture()

    def _round_trip(self) -> float | None:
        return round_trip_s(self.target.pod.address) if self.target.pod.address else None

    def _give(self) -> None:
        delay_s, jitter_s = (self.values[name] / 1000 for name in ("delay_ms", "jitter_ms"))
        self._queue = DelayQueue(self._netns, delay_s, jitter_s)
        self._netns.add_rules(
            ["INPUT"],
            [f"-i {LOOPBACK} -j RETURN", f"-j NFQUEUE --queue-num {QUEUE} --queue-bypass"],
        )

    def verify_effect(self) -> bool:
        now = self._round_trip()
        if now is None or self._before_s is None:
            return False
        least = self.values["delay_ms"] - self.values["jitter_ms"]
        return (now - self._before_s) * 1000 >= _LEAST_SHARE * least

    def disturbance(self) -> str | None:
        return (self._queue and self._queue.failure) or super().disturbance()

    def measured_dose(self) -> dict[str, float]:
        seen = {"round_trip_ms_before": self._before_s, "round_trip_ms": self._round_trip()}
        dose = {name: round(value * 1000, 3) for name, value in seen.items() if value is not None}
        return {**dose, "packets": float(self._queue.packets if self._queue else 0)}

    def revert(self, undo: Undo) -> None:
        super().revert(undo)
        if self._queue is not None:
            self._queue.close()
