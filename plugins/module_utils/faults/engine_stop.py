# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that stop the processes of an engine, for good or by turns, and let them go on."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Mapping

from . import processes
from .contract import Fault, Target
from .errors import RefusedError
from .processes import Process
from .undo import ContinuePod
from .undo_action import UndoAction

# vLLM's engine core and its workers give themselves these titles; the simulator is one process.
ENGINE = r"^VLLM::|\bloadgen mock\b"


def engine_processes(target: Target) -> list[Process]:
    """Return the processes of the pod that compute tokens."""
    return [each for each in target.pod.processes() if re.search(ENGINE, processes.title(each))]


class EngineStop(Fault):
    """A fault by SIGSTOP on the engine's own processes; the rest of the pod runs on."""

    layer = "process"
    kinds = ("replica",)
    requirements = "The rights to send signals to the pod's processes."

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._engine: list[Process] = []
        self._begin = 0.0

    def preflight(self) -> None:
        engine = engine_processes(self.target)
        if not engine:
            raise RefusedError(
                f"no engine runs in pod {self.target.pod.name} (no process VLLM::... and no "
                f"simulator): is the service up?"
            )
        held = [process.pid for process in engine if processes.is_stopped(process)]
        if held:
            raise RefusedError(f"processes {held} of the engine are stopped already")

    def capture(self) -> tuple[UndoAction, ...]:
        self._engine = engine_processes(self.target)
        seen = tuple((process.pid, process.start) for process in self._engine)
        pod = self.target.pod
        return (ContinuePod(lab=pod.lab, pod=pod.name, processes=seen),)

    def inject(self) -> None:
        self._begin = time.monotonic()
        self._give()

    def _give(self) -> None:
        raise NotImplementedError

    def disturbance(self) -> str | None:
        gone = [each.pid for each in self._engine if not processes.is_alive(each)]
        return f"processes {gone} of the engine ended under the fault" if gone else None

    def _send(self, number: signal.Signals) -> None:
        for process in self._engine:
            processes.send(process, number)

    def _stopped(self) -> bool:
        return all(processes.is_stopped(process) for process in self._engine)
