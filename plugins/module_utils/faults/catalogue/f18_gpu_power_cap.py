# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F18: a GPU may draw less power."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from ..contract import ANY_ISOLATION, DURATION, Parameter, Target
from ..errors import RefusedError
from ..gpu_fault import GpuFault, check_settings, mean
from ..gpus import POWER_CAP, Look
from ..undo_action import UndoAction
from ..undo_gpu import SetPowerLimit

# The driver holds the power to its limit over a second or so, and a little above it at times.
_TOLERANCE = 1.05


class GpuPowerCap(GpuFault):
    """Lower the power limit, as ``nvidia-smi -pl`` does.

    Decode is bound by memory and hardly draws more than half of the limit: without prefill under
    load the cap is not felt, and the fault is not effective.
    """

    id = "F18"
    name = "gpu_power_cap"
    summary = "The GPU's power limit is lowered to a share of what it is."
    symptoms = (
        "The GPU's power limit falls, and its clocks-event reasons name the power cap; prefill "
        "time and time to first token rise; inter-token latency hardly moves."
    )
    requirements = (
        "Root, and a GPU of NVIDIA's that `chaos_agent_gpu` gives to faults, in persistence mode, "
        "on which pods of the lab compute and nobody else; load with so much prefill that the GPU "
        "draws more than the cap. Tested against a stand-in of `nvidia-smi`, and not on a GPU."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"nvidia_smi_pl": ANY_ISOLATION}
    parameters = (
        Parameter("limit_ratio", 0.5, 0.1, 0.95, "The cap by the limit that the GPU has."),
        DURATION,
    )
    own_reason = POWER_CAP

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._cap_w = 0
        self._limit = ""
        self._drawn_w = 0.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("gpu_power_limit_w", "gpu_clocks_event_reasons")

    def intended_dose(self) -> dict[str, float]:
        return {"limit_ratio": self.values["limit_ratio"]}

    def _check(self, look: Look) -> None:
        check_settings(look, self.target)
        least, most = look.least_limit_w, look.most_limit_w
        if look.power_limit is None or least is None or most is None:
            raise RefusedError(f"{self.target.component} does not tell its power limits")
        limit = float(look.power_limit)
        if not least <= limit <= most:
            raise RefusedError(
                f"the power limit of {self.target.component} is {limit:g} W, and from {least:g} to "
                f"{most:g} W can be set: it could not be given back"
            )
        if self._wanted_w(look) < least:
            ratio = math.ceil(100 * math.ceil(least) / limit) / 100
            raise RefusedError(
                f"{self.target.component} takes no limit under {least:g} W: ask for a limit_ratio "
                f"of {ratio:g} or more"
            )
        if look.enforced_limit_w is not None and self._wanted_w(look) >= look.enforced_limit_w:
            raise RefusedError(
                f"{self.target.component} is held to {look.enforced_limit_w:g} W already, by "
                f"something else than its limit of {limit:g} W: ask for a smaller limit_ratio"
            )

    def _wanted_w(self, look: Look) -> int:
        return round(self.values["limit_ratio"] * float(look.power_limit or 0.0))

    def capture(self) -> tuple[UndoAction, ...]:
        look = self._begin()
        self._check(look)
        self._limit, self._cap_w = str(look.power_limit), self._wanted_w(look)
        return (self._helpers.undo(), SetPowerLimit(self._gpu.uuid, self._limit))

    def inject(self) -> None:
        # The baseline is over: what is drawn now is what the cap takes away.
        look = self._gpu.look()
        if look.power_limit != self._limit:
            raise OSError(
                f"something else has set the power limit to {look.power_limit} W; it was "
                f"{self._limit} W before the dose"
            )
        self._drawn_w = look.power_w or 0.0
        self._gpu.set_power_limit(str(self._cap_w), self._helpers.environment)

    def verify_effect(self) -> bool:
        look = self._look()
        if not look.is_busy or (look.enforced_limit_w or math.inf) > self._cap_w:
            return False
        fell = self._drawn_w > self._cap_w >= (look.power_w or math.inf) / _TOLERANCE
        return fell or bool(look.reasons & POWER_CAP)

    def disturbance(self) -> str | None:
        found = self._look().power_limit
        if found is not None and float(found) == self._cap_w:
            return None
        return f"something else has set the power limit to {found} W; it was set to {self._cap_w} W"

    def measured_dose(self) -> dict[str, float]:
        found, before = float(self._look().power_limit or 0.0), float(self._limit)
        return {
            "power_w_before": self._drawn_w,
            "power_w": round(mean([each.power_w for each in self._busy]), 1),
            "limit_w_before": before,
            "limit_w": found,
            "limit_ratio": round(found / before, 4),
        }
