# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F12: the engine hangs. It holds its requests and computes nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import ClassVar

from ..contract import ANY_ISOLATION, DURATION
from ..engine_stop import EngineStop


class EngineHang(EngineStop):
    """Stop the engine's processes, and let them go on at the end."""

    id = "F12"
    name = "engine_hang"
    summary = "The engine's processes stand still."
    symptoms = (
        "Requests run and no tokens come: the replica's tokens fall to none while its ongoing "
        "requests stay; its engine's own gauges freeze; what was routed there hangs to the end."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"sigstop": ANY_ISOLATION}
    parameters = (DURATION,)

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("engine_generation_tokens_rate", "serve_ongoing_requests", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        return {"stopped_ratio": 1.0}

    def _give(self) -> None:
        self._send(signal.SIGSTOP)

    def verify_effect(self) -> bool:
        return self._stopped()

    def disturbance(self) -> str | None:
        if problem := super().disturbance():
            return problem
        # A signal is on its way for a moment.
        if time.monotonic() - self._begin > 1 and not self._stopped():
            return "something else has let the engine go on"
        return None

    def measured_dose(self) -> dict[str, float]:
        return {
            "stopped_ratio": 1.0 if self._stopped() else 0.0,
            "processes": float(len(self._engine)),
        }
