# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of a fault that ended something: see that whoever looks after it starts it again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .pods import pod_processes
from .service import Service
from .supervisor import Supervisor
from .undo_action import UndoAction


@dataclass(frozen=True)
class StartProgram(UndoAction):
    """Have the lab's supervisor run a program that it ran."""

    kind = "start_program"
    socket: str
    program: str

    def restore(self) -> None:
        supervisor = Supervisor(self.socket)
        if not supervisor.program(self.program).is_meant_to_run:
            supervisor.start(self.program)

    def remainder(self) -> str | None:
        found = Supervisor(self.socket).program(self.program)
        return None if found.is_running else f"{found.name} does not run yet: {found.state}"


@dataclass(frozen=True)
class AwaitProcesses(UndoAction):
    """Wait until a pod has its processes again.

    They are started by whoever looks after them: Ray, Serve, the supervisor. ``pattern`` is looked
    for in their titles.
    """

    kind = "await_processes"
    lab: str
    pod: str
    cgroup: str | None
    pattern: str
    count: int

    def restore(self) -> None:
        """Nothing: it is others who start them."""

    def remainder(self) -> str | None:
        folder = None if self.cgroup is None else Path(self.cgroup)
        running = pod_processes(self.lab, self.pod, folder)
        found = sum(bool(re.search(self.pattern, processes.title(each))) for each in running)
        if found >= self.count:
            return None
        return f"{found} of {self.count} processes ({self.pattern}) run again in pod {self.pod}"


@dataclass(frozen=True)
class AwaitService(UndoAction):
    """Wait until the service has a replica at each address; deploy it again if it was lost."""

    kind = "await_service"
    service: dict[str, str | None]
    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", tuple(self.addresses))

    @property
    def _service(self) -> Service:
        return Service(**self.service)  # type: ignore[arg-type]

    def restore(self) -> None:
        self._service.deploy_again()

    def remainder(self) -> str | None:
        missing = self._service.missing(self.addresses)
        return f"no replica is ready at {', '.join(missing)}" if missing else None
