# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that end something which Ray, Serve or the supervisor starts again."""

from __future__ import annotations

import dataclasses
import re
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from . import processes
from .contract import Fault, Target
from .engine_stop import ENGINE, engine_processes
from .errors import RefusedError
from .pods import Pod
from .processes import Process
from .supervisor import Program
from .undo import Undo
from .undo_action import UndoAction
from .undo_restarts import AwaitProcesses, AwaitService, StartProgram

_LOOK_S = 1.0
# Of what was ended, so many are named in the ground truth.
_NAMED = 4
_NEEDS = (
    "Somebody who starts again what ends, and `lab.json`, which tells how the service is asked "
    "whether all of it is back."
)


class RestartFault(Fault):
    """A point event with a long tail: the window goes from the end of something to its return.

    The undo sees to the return: it has the supervisor run the pod's program, deploys the service
    again where it was lost, and counts as done when the pod has its processes and the service its
    replicas.
    """

    layer = "process"
    kinds: ClassVar[tuple[str, ...]] = ("replica",)
    requirements = _NEEDS
    restarts = True
    effect_deadline_s = 15.0
    revert_deadline_s = 300.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._victims: list[Process] = []
        self._titles: dict[Process, str] = {}
        self._undo: tuple[UndoAction, ...] = ()
        self._begin = self._looked = 0.0
        self._gone_s: float | None = None
        self._back_s: float | None = None

    @property
    def _pod(self) -> Pod:
        """The pod in which something ends."""
        return self.target.pod

    @abstractmethod
    def _find_victims(self) -> list[Process]:
        """Return the processes that the fault ends."""

    def _pattern(self) -> str:
        """Return what the titles of the pod's important processes hold."""
        return ENGINE if self._pod.component.startswith("replica/") else ""

    def _addresses(self) -> tuple[str, ...]:
        """Return where the service must have a replica in the end."""
        if not self._pod.component.startswith("replica/"):
            return self.target.lab.replica_addresses()
        address = self._pod.address
        return () if address is None else (address,)

    def preflight(self) -> None:
        self.target.lab.need_service().check_whole(self._addresses())
        if not self._find_victims():
            raise RefusedError(
                f"nothing that {self.id} could end runs in pod {self._pod.name}: is the service up?"
            )
        if self._find_program() is None:
            raise RefusedError(
                f"the supervisor runs no program in pod {self._pod.name}: nobody would start "
                f"it again"
            )

    def _find_program(self) -> Program | None:
        supervisor = self.target.lab.need_supervisor()
        try:
            return supervisor.program_of(each.pid for each in self._pod.processes())
        except OSError as error:
            raise RefusedError(f"the lab's supervisor does not answer: {error}") from error

    def capture(self) -> tuple[UndoAction, ...]:
        self._victims = self._find_victims()
        self._titles = {each: processes.title(each) for each in self._victims}
        pod, lab = self._pod, self.target.lab
        pattern = re.compile(self._pattern())
        program = self._find_program()
        if program is None:
            raise RefusedError(f"the program of pod {pod.name} has just ended")
        self._undo = (
            StartProgram(lab.need_supervisor().socket, program.name),
            AwaitProcesses(
                lab=pod.lab,
                pod=pod.name,
                cgroup=None if pod.cgroup is None else str(pod.cgroup.cpu),
                pattern=pattern.pattern,
                count=sum(bool(pattern.search(processes.title(p))) for p in pod.processes()),
            ),
            AwaitService(dataclasses.asdict(lab.need_service()), self._addresses()),
        )
        return self._undo

    def inject(self) -> None:
        self._begin = time.monotonic()
        self._give()

    @abstractmethod
    def _give(self) -> None:
        """End the victims."""

    def verify_effect(self) -> bool:
        if any(processes.is_alive(each) for each in self._victims):
            return False
        if self._gone_s is None:
            self._gone_s = time.monotonic() - self._begin
        return True

    def disturbance(self) -> str | None:
        return None

    def is_over(self) -> bool:
        """Look once a second whether everything is back."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return False
        self._looked = now
        try:
            return all(action.remainder() is None for action in self._undo)
        except OSError:
            return False  # what is asked is just being started

    def verify_reverted(self, undo: Undo) -> None:
        super().verify_reverted(undo)
        if self._gone_s is not None:
            self._back_s = time.monotonic() - self._begin

    def intended_dose(self) -> dict[str, float]:
        return {"killed_ratio": 1.0}

    def measured_dose(self) -> dict[str, float]:
        dead = [each for each in self._victims if not processes.is_alive(each)]
        dose = {
            "killed_processes": float(len(dead)),
            "killed_ratio": round(len(dead) / len(self._victims), 4),
        }
        if self._gone_s is not None:
            dose["gone_after_s"] = round(self._gone_s, 3)
        return dose

    def remarks(self) -> list[str]:
        ended = [
            f"{title[:60]} ({each.pid})"
            for each, title in self._titles.items()
            if not processes.is_alive(each)
        ]
        more = [f"and {len(ended) - _NAMED} more"] if len(ended) > _NAMED else []
        said = [f"ended: {', '.join(ended[:_NAMED] + more)}"] if ended else []
        if self._back_s is not None:
            said.append(f"back {self._back_s:.1f} s after the dose")
        return said


def engines_or_all(target: Target) -> list[Process]:
    """Return the engine's processes of a replica, and all processes of another pod."""
    if target.component.startswith("replica/"):
        return engine_processes(target)
    return target.pod.processes()
