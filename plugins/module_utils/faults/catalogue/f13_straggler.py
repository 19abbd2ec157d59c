# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F13: the engine is slower than its peers, in small steps and all the time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import ClassVar

from ..background import Background
from ..contract import ANY_ISOLATION, DURATION, Parameter, Target
from ..engine_stop import EngineStop
from ..undo import Undo

_PERIOD_S = 0.1
_LOOK_S = 0.005


class Straggler(EngineStop):
    """Stop the engine's processes for a share of each tenth of a second."""

    id = "F13"
    name = "straggler"
    summary = "The engine computes for a part of the time only."
    symptoms = (
        "The replica's inter-token latency and decode time rise by the same factor, steadily; its "
        "CPU use falls; nothing is throttled; its peers' own metrics stay."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"sigstop_duty_cycle": ANY_ISOLATION}
    parameters = (
        Parameter("stopped_ratio", 0.7, 0.1, 0.95, "Share of the time that the engine is stopped."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._beside = Background(self._cycle, "the duty cycle ended")
        self._stopped_s = 0.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("engine_itl_mean_s", "engine_decode_time_mean_s", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        return {"stopped_ratio": self.values["stopped_ratio"]}

    def _give(self) -> None:
        self._beside.start()

    def _cycle(self, ending: threading.Event) -> None:
        stop_s = self.values["stopped_ratio"] * _PERIOD_S
        try:
            while not ending.is_set():
                self._send(signal.SIGSTOP)
                begin = time.monotonic()
                ending.wait(stop_s)
                self._send(signal.SIGCONT)
                self._stopped_s += time.monotonic() - begin
                ending.wait(_PERIOD_S - stop_s)
        finally:
            self._send(signal.SIGCONT)

    def verify_effect(self) -> bool:
        """Look over one period whether it is seen stopped, and seen running."""
        seen, end = set(), time.monotonic() + _PERIOD_S
        while time.monotonic() < end:
            seen.add(self._stopped())
            time.sleep(_LOOK_S)
        return seen == {True, False}

    def disturbance(self) -> str | None:
        return self._beside.failure or super().disturbance()

    def measured_dose(self) -> dict[str, float]:
        elapsed_s = time.monotonic() - self._begin
        return {
            "stopped_ratio": round(self._stopped_s / elapsed_s, 4),
            "processes": float(len(self._engine)),
        }

    def revert(self, undo: Undo) -> None:
        self._beside.end()
        super().revert(undo)
