# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the programs of `helper`, and end every one of them again."""

from __future__ import annotations

import inspect
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import helper, processes, programs
from .undo import HELPER_MARK, EndHelpers

# A helper outlives the dose by so much at most, should nobody end it.
HELPER_MARGIN_S = 10.0
_START_S = 10.0
_LIBRARY_PATH = "LD_LIBRARY_PATH"
_END_S = 5.0


def own_mark() -> str:
    """Return the mark of what this process starts: its undo, an `EndHelpers`, goes by it."""
    runner = processes.current()
    return f"{runner.pid}.{runner.start}"


class Helpers:
    """The helpers of one fault.

    Each carries the fault's mark in its environment: the undo finds them by that, and so also
    those that were started after it was written.

    Parameters
    ----------
    seconds
        When a helper ends by itself, from its start.
    """

    def __init__(self, seconds: float) -> None:
        self.mark = own_mark()
        self._seconds = seconds
        self._started: list[subprocess.Popen[bytes]] = []
        self._outputs: dict[int, int] = {}
        self._unread: dict[int, bytes] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What marks a program as a helper, and so as one that the undo ends."""
        return {HELPER_MARK: self.mark}

    def undo(self) -> EndHelpers:
        """Return what ends them all."""
        return EndHelpers(self.mark)

    def start(
        self, work: str, *arguments: str, cgroups: Sequence[Path] = (), oom_score: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start one, and return when it has joined the cgroups.

        Raises
        ------
        OSError
            If it does not start.
        """
        options = [f"--parent={os.getpid()}", f"--seconds={self._seconds}"]
        options += [f"--cgroup={folder}" for folder in cgroups]
        output, its_end = os.pipe()
        process = programs.start(
            [
                *(sys.executable, "-I", "-S", "-c", inspect.getsource(helper)),
                *(*options, f"--oom-score={oom_score}", work, *arguments),
            ],
            its_end,
            environment={**self.environment, **_library_path()},
        )
        os.close(its_end)
        self._outputs[process.pid] = output
        self._started.append(process)
        said = self.answer(process, _START_S)
        if said != "ready":
            raise OSError(f"a helper ({work}) does not start: {said or 'no message'}")
        return process

    def answer(self, process: subprocess.Popen[bytes], timeout_s: float) -> str:
        """Return the next line that a helper says; empty if none comes in time."""
        output, said = self._outputs[process.pid], self._unread.pop(process.pid, b"")
        end = time.monotonic() + timeout_s
        while b"\n" not in said:
            left = max(0.0, end - time.monotonic())
            if not select.select([output], [], [], left)[0]:
                break
            more = os.read(output, 4096)
            if not more:
                break
            said += more
        line, _end, self._unread[process.pid] = said.partition(b"\n")
        return line.decode(errors="replace").strip()

    def expect(self, process: subprocess.Popen[bytes], word: str) -> bool:
        """Say whether a helper has said by now what it says when it is at its work.

        Raises
        ------
        OSError
            If it has said something else, or has ended.
        """
        has_ended = process.poll() is not None
        said = self.answer(process, 0)
        if said == word:
            return True
        if said or has_ended:
            raise OSError(f"a helper does not do its work: {said or 'it has ended'}")
        return False

    def ended(self) -> list[int]:
        """Return the numbers of those that have ended."""
        return [process.pid for process in self._started if process.poll() is not None]

    def cpu_seconds(self) -> float:
        """Return the CPU time that they have used."""
        found = (processes.identify(process.pid) for process in self._started)
        return sum(processes.cpu_seconds(process) for process in found if process is not None)

    def close(self) -> None:
        """End them, and take note of it, so that none stays as a zombie."""
        for process in self._started:
            process.kill()
        for process in self._started:
            process.wait(_END_S)
        while self._outputs:
            os.close(self._outputs.popitem()[1])


def _library_path() -> dict[str, str]:
    """Return where libraries are looked for first: libcuda may be in no usual place."""
    path = os.environ.get(_LIBRARY_PATH)
    return {} if path is None else {_LIBRARY_PATH: path}
