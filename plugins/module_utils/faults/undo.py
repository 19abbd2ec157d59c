# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The write-ahead undo: plain data, on the disk before the dose, that any process can carry out.

An undo needs neither the catalogue nor the process that wrote it: it is a list of actions of the
few kinds below, each idempotent and exact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes
from .cgroups import CpuLimit, cpu_cgroup, is_cgroup_path
from .errors import FaultError, NotRevertedError
from .io_limits import IoLimit
from .network import Netns
from .pods import marked_processes
from .processes import Process
from .undo_action import UndoAction
from .undo_gpu import SetPowerLimit, UnlockClock
from .undo_memory import SetMemoryLimit, SetOomScores
from .undo_restarts import AwaitProcesses, AwaitService, StartProgram
from .undo_serve import RestoreServeConfig

FORMAT = 1
# In the environment of every helper of a fault.
HELPER_MARK = "RCALAB_CHAOS"
_END_S = 1.0


@dataclass(frozen=True)
class SetCpuLimit(UndoAction):
    """Give a cgroup the CPU limit that it had."""

    kind = "set_cpu_limit"
    version: int
    cpu: str
    cpuacct: str
    quota_us: int | None
    period_us: int

    def __post_init__(self) -> None:
        if not is_cgroup_path(Path(self.cpu)):
            raise FaultError(f"the undo names {self.cpu}, which is no cgroup: nothing is done")

    def restore(self) -> None:
        cgroup = cpu_cgroup(self.version, Path(self.cpu), Path(self.cpuacct))
        if cgroup.cpu.is_dir():
            cgroup.set_limit(CpuLimit(self.quota_us, self.period_us))

    def remainder(self) -> str | None:
        cgroup = cpu_cgroup(self.version, Path(self.cpu), Path(self.cpuacct))
        if not cgroup.cpu.is_dir():
            return None
        wanted, found = CpuLimit(self.quota_us, self.period_us), cgroup.limit()
        return None if found == wanted else f"{cgroup.limit_file} is {found}, not {wanted}"


@dataclass(frozen=True)
class ContinuePod(UndoAction):
    """Let every process run that carries a pod's marks, and those seen when the dose began."""

    kind = "continue_pod"
    lab: str
    pod: str
    processes: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        # JSON knows lists only.
        object.__setattr__(self, "processes", tuple((pid, start) for pid, start in self.processes))

    def _found(self) -> set[Process]:
        recorded = {Process(pid, start) for pid, start in self.processes}
        return recorded.union(marked_processes(self.lab, self.pod))

    def restore(self) -> None:
        for process in self._found():
            processes.send(process, signal.SIGCONT)

    def remainder(self) -> str | None:
        held = sorted(process.pid for process in self._found() if processes.is_stopped(process))
        return f"processes {held} of pod {self.pod} are stopped" if held else None


@dataclass(frozen=True)
class RemoveRules(UndoAction):
    """Take the faults' chain out of the packet filter of a network namespace."""

    kind = "remove_rules"
    netns: str

    def restore(self) -> None:
        netns = Netns(self.netns)
        if netns.exists():
            netns.remove_rules()

    def remainder(self) -> str | None:
        netns = Netns(self.netns)
        left = netns.exists() and netns.has_chain()
        return f"the packet filter of {self.netns} still has a fault's rules" if left else None


@dataclass(frozen=True)
class RemoveQdisc(UndoAction):
    """Take the queueing discipline off a pod's device, which had none of its own."""

    kind = "remove_qdisc"
    netns: str

    def restore(self) -> None:
        netns = Netns(self.netns)
        if netns.exists():
            netns.remove_qdisc()

    def remainder(self) -> str | None:
        netns = Netns(self.netns)
        left = netns.exists() and netns.has_qdisc()
        return f"the device of {self.netns} still has a queueing discipline" if left else None


@dataclass(frozen=True)
class ContinueProcesses(UndoAction):
    """Let processes run that are no pod's, by number and start."""

    kind = "continue_processes"
    processes: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "processes", tuple((pid, start) for pid, start in self.processes))

    def restore(self) -> None:
        for pid, start in self.processes:
            processes.send(Process(pid, start), signal.SIGCONT)

    def remainder(self) -> str | None:
        found = (Process(pid, start) for pid, start in self.processes)
        held = [process.pid for process in found if processes.is_stopped(process)]
        return f"processes {held} are stopped" if held else None


@dataclass(frozen=True)
class EndHelpers(UndoAction):
    """End the programs that give a dose by being there."""

    kind = "end_helpers"
    mark: str

    def _found(self) -> list[Process]:
        return processes.with_environment({HELPER_MARK: self.mark})

    def restore(self) -> None:
        """End them, and wait for it: none may undo what the next action of the undo does."""
        found = self._found()
        for process in found:
            processes.send(process, signal.SIGKILL)
        end = time.monotonic() + _END_S
        while any(processes.is_alive(process) for process in found) and time.monotonic() < end:
            time.sleep(0.01)

    def remainder(self) -> str | None:
        left = [process.pid for process in self._found()]
        return f"the fault's helpers {left} still run" if left else None


@dataclass(frozen=True)
class LiftIoLimit(UndoAction):
    """Take a cgroup's limit on a block device away; there was none."""

    kind = "lift_io_limit"
    version: int
    folder: str
    device: str

    def __post_init__(self) -> None:
        if not is_cgroup_path(Path(self.folder)):
            raise FaultError(f"the undo names {self.folder}, which is no cgroup: nothing is done")

    @property
    def _limit(self) -> IoLimit:
        return IoLimit(self.version, Path(self.folder), self.device)

    def restore(self) -> None:
        if Path(self.folder).is_dir():
            self._limit.lift()

    def remainder(self) -> str | None:
        lines = self._limit.lines() if Path(self.folder).is_dir() else []
        return f"the disk is still limited: {'; '.join(lines)}" if lines else None


@dataclass(frozen=True)
class RemoveCgroup(UndoAction):
    """Remove a cgroup that the fault made."""

    kind = "remove_cgroup"
    folder: str

    def __post_init__(self) -> None:
        if not is_cgroup_path(Path(self.folder)):
            raise FaultError(f"the undo names {self.folder}, which is no cgroup: nothing is done")

    def restore(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            Path(self.folder).rmdir()

    def remainder(self) -> str | None:
        return f"the cgroup {self.folder} is still there" if Path(self.folder).is_dir() else None


@dataclass(frozen=True)
class WriteFile(UndoAction):
    """Give a file of the lab the content that it had; None where there was no file."""

    kind = "write_file"
    path: str
    content: str | None

    def restore(self) -> None:
        if self.content is None:
            Path(self.path).unlink(missing_ok=True)
        elif self._found() != self.content:
            Path(self.path).write_text(self.content, encoding="utf-8")

    def _found(self) -> str | None:
        path = Path(self.path)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def remainder(self) -> str | None:
        return None if self._found() == self.content else f"{self.path} is not as it was"


_ACTIONS: dict[str, type[UndoAction]] = {
    action.kind: action
    for action in (
        SetCpuLimit,
        ContinuePod,
        RemoveRules,
        RemoveQdisc,
        ContinueProcesses,
        EndHelpers,
        SetMemoryLimit,
        SetOomScores,
        LiftIoLimit,
        RemoveCgroup,
        WriteFile,
        SetPowerLimit,
        UnlockClock,
        StartProgram,
        RestoreServeConfig,
        AwaitProcesses,
        AwaitService,
    )
}


def know(*actions: type[UndoAction]) -> None:
    """Have undos be read that hold actions of another platform."""
    _ACTIONS.update((action.kind, action) for action in actions)


@dataclass(frozen=True)
class Undo:
    """The undo of one fault window.

    Attributes
    ----------
    boot_id
        The boot of the machine that it belongs to: a restart undoes what is on that machine.
    runner
        The process that leads the fault, and must be dead before another may undo it.
    truth_path
        Where the ground truth is wanted; None if nowhere.
    actions
        What to put back, in this order.
    events_path
        Where the window's end is told; None if nowhere.
    """

    boot_id: str
    runner: Process
    truth_path: str | None
    actions: tuple[UndoAction, ...]
    events_path: str | None = None

    def restore(self) -> None:
        """Carry out every action, also after one of them failed.

        Raises
        ------
        NotRevertedError
            If one failed.
        """
        problems = []
        for action in self._left():
            try:
                action.restore()
            except OSError as error:
                problems.append(str(error))
        if problems:
            raise NotRevertedError("; ".join(problems))

    def verify(self) -> None:
        """Look at the target itself.

        Raises
        ------
        NotRevertedError
            If something is not as it was.
        """
        problems = []
        for action in self._left():
            try:
                problem = action.remainder()
            except OSError as error:
                problem = str(error)
            if problem is not None:
                problems.append(problem)
        if problems:
            raise NotRevertedError("; ".join(problems))

    def _left(self) -> list[UndoAction]:
        """Return the actions that no restart of the machine has carried out."""
        of_this_boot = self.boot_id == processes.boot_id()
        return [action for action in self.actions if of_this_boot or action.outlives_boot]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "format": FORMAT,
            "boot_id": self.boot_id,
            "runner": dataclasses.asdict(self.runner),
            "truth_path": self.truth_path,
            "events_path": self.events_path,
            "actions": [action.to_json() for action in self.actions],
        }

    @classmethod
    def read(cls, path: Path) -> Undo:
        """Read an undo's file.

        Raises
        ------
        FaultError
            If there is none, or it can't be read.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise FaultError(f"{path} can't be read ({error}): restore by hand") from error

    @classmethod
    def from_json(cls, data: Any) -> Undo:
        """Read an undo.

        Raises
        ------
        FaultError
            If the data are no undo of this format.
        """
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']!r} is not {FORMAT}")
            actions = []
            for item in data["actions"]:
                fields = dict(item)
                actions.append(_ACTIONS[fields.pop("kind")](**fields))
            return cls(
                data["boot_id"],
                Process(**data["runner"]),
                data["truth_path"],
                tuple(actions),
                data["events_path"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FaultError(f"the undo can't be read ({error!r}): restore by hand") from error
