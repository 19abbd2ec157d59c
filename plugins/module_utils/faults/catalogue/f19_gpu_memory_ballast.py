# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F19: something holds a GPU's memory, and an engine that starts anew finds too little of it."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from collections.abc import Mapping
from typing import ClassVar

from .. import processes
from ..contract import ANY_ISOLATION, DURATION, Parameter, Target
from ..engine_stop import engine_processes
from ..errors import RefusedError
from ..gpu_fault import check_gpu, check_room, gpu_of, pods_on
from ..gpus import Look
from ..helpers import HELPER_MARGIN_S, Helpers
from ..pods import Pod
from ..processes import Process
from ..restart_fault import RestartFault
from ..undo import Undo
from ..undo_action import UndoAction

_LEAST_SHARE = 0.9
_RESERVE_MIB = 512


class GpuMemoryBallast(RestartFault):
    """Kill the engine on a GPU, and take the memory that it leaves before its successor can.

    An engine that runs does not mind a ballast: it has reserved its memory at its start.
    """

    id = "F19"
    name = "gpu_memory_ballast"
    summary = "The GPU's engine is killed, and something holds the memory that the next one needs."
    layer = "gpu"
    symptoms = (
        "The engine's tokens cease; the GPU's memory stays in use without it; each start of the "
        "engine fails for want of memory, and the others take its share until the ballast is gone."
    )
    requirements = (
        "A GPU of NVIDIA's that `chaos_agent_gpu` gives to faults, on which the engine of one "
        "replica computes and nobody else, and a GiB of its memory; somebody who starts again what "
        "ends, and `lab.json`, which tells how the service is asked whether all of it is back. "
        "Tested against a stand-in of the driver, and not on a GPU."
    )
    kinds: ClassVar[tuple[str, ...]] = ("gpu",)
    mechanisms: ClassVar[Mapping[str, str | None]] = {"kill_and_fill": ANY_ISOLATION}
    parameters = (
        Parameter("held_ratio", 0.5, 0.05, 0.95, "Share of the GPU's memory that is held."),
        # The start of an engine fails only when it comes to its memory.
        dataclasses.replace(DURATION, default=120),
    )
    # The driver takes some seconds to give the memory of a killed process back.
    effect_deadline_s = 30.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._gpu = gpu_of(target)
        self._helpers = Helpers(self.duration_s + HELPER_MARGIN_S)
        self._user: Pod | None = None
        self._ballast: subprocess.Popen[bytes] | None = None
        self._memory_mib = 0.0
        self._holds = False
        self._started: set[Process] = set()

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("gpu_framebuffer_used_mib",)

    def intended_dose(self) -> dict[str, float]:
        return {"held_ratio": self.values["held_ratio"], "killed_ratio": 1.0}

    @property
    def _pod(self) -> Pod:
        if self._user is None:
            raise RefusedError(f"no pod of the lab is known to compute on {self.target.component}")
        return self._user

    @property
    def _wanted_mib(self) -> int:
        return round(self.values["held_ratio"] * self._memory_mib)

    def _engine(self) -> list[Process]:
        return engine_processes(dataclasses.replace(self.target, where=self._pod))

    def _find_victims(self) -> list[Process]:
        return self._engine()

    def preflight(self) -> None:
        look = check_gpu(self._gpu, self.target)
        check_room(look, self.target)
        users = pods_on(self._gpu, self.target)
        if len(users) > 1 or not users[0].component.startswith("replica/"):
            raise RefusedError(
                f"{', '.join(each.component for each in users)} compute on "
                f"{self.target.component}, and {self.id} takes a GPU of one replica only"
            )
        self._user = users[0]
        self._check_size(look)
        super().preflight()

    def _check_size(self, look: Look) -> None:
        """Refuse a ballast that does not fit, or that leaves the engine all that it had."""
        if look.memory_mib is None or look.free_mib is None:
            raise RefusedError(f"{self.target.component} does not tell its memory")
        self._memory_mib = look.memory_mib
        left_mib = look.free_mib + sum(held or 0.0 for held in self._gpu.processes().values())
        if self._wanted_mib + _RESERVE_MIB > left_mib:
            raise RefusedError(
                f"{self._wanted_mib} MiB and a reserve of {_RESERVE_MIB} MiB are not free on "
                f"{self.target.component} without the engine: {left_mib:g} MiB are; ask for a "
                f"smaller held_ratio"
            )
        if self._wanted_mib <= look.free_mib:
            raise RefusedError(
                f"{look.free_mib:g} MiB are free beside the engine, and a ballast of "
                f"{self._wanted_mib} MiB would leave it all that it had: ask for a greater "
                f"held_ratio"
            )

    def capture(self) -> tuple[UndoAction, ...]:
        restart = super().capture()
        return (self._helpers.undo(), *restart)

    def _give(self) -> None:
        self._ballast = self._helpers.start(
            "fill", f"--gpu={self._gpu.uuid}", f"--mebibytes={self._wanted_mib}"
        )
        for victim in self._victims:
            processes.send(victim, signal.SIGKILL)

    def verify_effect(self) -> bool:
        return (
            super().verify_effect()
            and self._holds
            and self._held_mib() >= _LEAST_SHARE * self._wanted_mib
        )

    def _held_mib(self) -> float:
        return self._gpu.processes().get(0 if self._ballast is None else self._ballast.pid) or 0.0

    def disturbance(self) -> str | None:
        if self._ballast is not None and not self._holds:
            self._holds = self._helpers.expect(self._ballast, "held")
        if self._helpers.ended():
            return "the ballast has ended"
        self._started.update(set(self._engine()).difference(self._victims))
        if self._gone_s is not None and super().is_over():
            return "the engine has started in spite of the ballast: ask for a greater held_ratio"
        return None

    def is_over(self) -> bool:
        return False  # it lasts as long as it is asked to

    def _failed_starts(self) -> int:
        return sum(not processes.is_alive(each) for each in self._started)

    def measured_dose(self) -> dict[str, float]:
        held_mib = self._held_mib()
        return {
            "held_mib": held_mib,
            "held_ratio": round(held_mib / self._memory_mib, 4),
            "failed_starts": float(self._failed_starts()),
            **super().measured_dose(),
        }

    def remarks(self) -> list[str]:
        said = [] if self._user is None else [f"{self._gpu.uuid}, of {self._user.component}"]
        if self._holds and not self._started:
            said.append("no start of the engine was seen under the ballast: it takes longer")
        return [*said, *super().remarks()]

    def revert(self, undo: Undo) -> None:
        self._helpers.close()
        super().revert(undo)
