# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F16: something else computes on a GPU, and takes turns with the engine."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import ClassVar

from ..contract import ANY_ISOLATION, DURATION, Parameter, Target
from ..gpu_fault import GpuFault, check_room, mean
from ..gpus import Look
from ..undo import Undo
from ..undo_action import UndoAction

_LEAST_SHARE = 0.8


class GpuContention(GpuFault):
    """Run a kernel on the GPU that computes for a share of each period.

    The driver lets processes take turns. One that always has something to compute takes half of the
    time of one engine, so that its tokens take twice as long.
    """

    id = "F16"
    name = "gpu_contention"
    summary = "A second program computes on the GPU."
    symptoms = (
        "The GPU's utilisation goes to 100 % and its power up, at its usual clock; a little more "
        "of its memory is in use; inter-token latency and time to first token rise."
    )
    requirements = (
        "A GPU of NVIDIA's that `chaos_agent_gpu` gives to faults, on which pods of the lab "
        "compute and nobody else, and a GiB of its memory. Tested against a stand-in of the "
        "driver, and not on a GPU."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"cuda_spin": ANY_ISOLATION}
    parameters = (
        Parameter("busy_ratio", 1, 0.1, 1, "Share of the time in which it wants to compute."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._burner: subprocess.Popen[bytes] | None = None
        self._computes = False

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("gpu_power_w", "gpu_utilisation_percent", "gpu_framebuffer_used_mib")

    def intended_dose(self) -> dict[str, float]:
        return {"busy_ratio": self.values["busy_ratio"]}

    def _check(self, look: Look) -> None:
        check_room(look, self.target)

    def capture(self) -> tuple[UndoAction, ...]:
        self._begin()
        return (self._helpers.undo(),)

    def inject(self) -> None:
        self._burner = self._helpers.start(
            "spin", f"--gpu={self._gpu.uuid}", f"--busy-ratio={self.values['busy_ratio']}"
        )

    def verify_effect(self) -> bool:
        """See that its kernels run, that the driver counts it, and that the GPU is as busy."""
        if self._burner is None or not self._computes:
            return False
        wanted = _LEAST_SHARE * 100 * self.values["busy_ratio"]
        seen = self._burner.pid in self._gpu.processes()
        return seen and (self._look().utilisation_percent or 0.0) >= wanted

    def disturbance(self) -> str | None:
        if self._burner is None:
            return None
        if not self._computes:
            self._computes = self._helpers.expect(self._burner, "spun")
        return "the burner has ended" if self._helpers.ended() else None

    def measured_dose(self) -> dict[str, float]:
        before = None if self._before is None else self._before.utilisation_percent
        return {
            "utilisation_ratio_before": round((before or 0.0) / 100, 3),
            "utilisation_ratio": round(mean([e.utilisation_percent for e in self._busy]) / 100, 3),
        }

    def revert(self, undo: Undo) -> None:
        self._helpers.close()
        super().revert(undo)
