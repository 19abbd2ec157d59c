# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of a fault of a pod's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import processes
from .cgroups import is_cgroup_path
from .errors import FaultError
from .processes import Process
from .undo_action import UndoAction

_MEMORY_FILES = ("memory.limit_in_bytes", "memory.max", "memory.high")


@dataclass(frozen=True)
class SetMemoryLimit(UndoAction):
    """Give a file of a cgroup's memory controller the value that it had."""

    kind = "set_memory_limit"
    file: str
    value: str

    def __post_init__(self) -> None:
        file = Path(self.file)
        if file.name not in _MEMORY_FILES or not is_cgroup_path(file.parent):
            raise FaultError(f"the undo names {file}, which is no limit: nothing is done")

    def restore(self) -> None:
        if Path(self.file).parent.is_dir():
            Path(self.file).write_text(f"{self.value}\n", encoding="ascii")

    def remainder(self) -> str | None:
        if not Path(self.file).parent.is_dir():
            return None
        found = Path(self.file).read_text(encoding="ascii").strip()
        return None if found == self.value else f"{self.file} is {found}, not {self.value}"


@dataclass(frozen=True)
class SetOomScores(UndoAction):
    """Give processes the OOM scores that they had: number, start and score of each."""

    kind = "set_oom_scores"
    processes: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        scores = tuple((pid, start, score) for pid, start, score in self.processes)
        object.__setattr__(self, "processes", scores)

    def restore(self) -> None:
        for pid, start, score in self.processes:
            processes.set_oom_score(Process(pid, start), score)

    def remainder(self) -> str | None:
        left = [
            pid
            for pid, start, score in self.processes
            if processes.oom_score(Process(pid, start)) not in (None, score)
        ]
        return f"processes {left} have another OOM score than before" if left else None
