# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F28: a replica starts anew, and its model loads slowly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import ClassVar

from .. import processes
from ..background import Background
from ..contract import ANY_ISOLATION, DURATION, Parameter, Target
from ..engine_stop import engine_processes
from ..processes import Process
from ..restart_fault import RestartFault
from ..undo import ContinuePod, Undo
from ..undo_action import UndoAction

_LOOK_S = 0.05


class SlowModelLoad(RestartFault):
    """Kill a replica's engine, and hold the new one for a while as soon as it is there.

    A disk that is slow would do it where models are read from a disk; here they are in the page
    cache, so the engine that loads is what is held.
    """

    id = "F28"
    name = "slow_model_load"
    summary = "The replica's engine is killed, and its successor takes so much longer to load."
    layer = "storage"
    symptoms = (
        "As a killed engine (F11), and longer: the pod's tokens stay away while its new engine is "
        "there and uses no CPU."
    )
    requirements = (
        "The rights to send signals to the pod's processes, and `lab.json`, which tells how the "
        "service is asked whether all of it is back."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"kill_and_hold": ANY_ISOLATION}
    parameters = (
        Parameter("load_delay_s", 20, 1, 120, "How long the new engine is held, in seconds."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._beside = Background(self._hold, "the new engine could not be held")
        self._held_s = 0.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("engine_generation_tokens_rate", "processes", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        return {"load_delay_s": self.values["load_delay_s"], "killed_ratio": 1.0}

    def _find_victims(self) -> list[Process]:
        return engine_processes(self.target)

    def capture(self) -> tuple[UndoAction, ...]:
        pod = self.target.pod
        return (ContinuePod(lab=pod.lab, pod=pod.name, processes=()), *super().capture())

    def _give(self) -> None:
        for victim in self._victims:
            processes.send(victim, signal.SIGKILL)
        self._beside.start()

    def _hold(self, ending: threading.Event) -> None:
        """Stop whatever new engine comes, until the delay since the first has passed."""
        begin: float | None = None
        held: set[Process] = set()
        try:
            while not ending.wait(_LOOK_S):
                for process in engine_processes(self.target):
                    if process not in self._victims and process not in held:
                        begin = time.monotonic() if begin is None else begin
                        processes.send(process, signal.SIGSTOP)
                        held.add(process)
                if begin is not None:
                    self._held_s = time.monotonic() - begin
                    if self._held_s >= self.values["load_delay_s"]:
                        return
        finally:
            for process in held:
                processes.send(process, signal.SIGCONT)

    def disturbance(self) -> str | None:
        return self._beside.failure

    def is_over(self) -> bool:
        return not self._beside.is_running() and super().is_over()

    def measured_dose(self) -> dict[str, float]:
        return {"load_delay_s": round(self._held_s, 3), **super().measured_dose()}

    def revert(self, undo: Undo) -> None:
        # The window may end before the new engine is there: the dose is then not given in full.
        self._beside.end()
        super().revert(undo)
