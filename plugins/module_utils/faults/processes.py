# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes by number *and* start time, so that a recycled number never names another one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOPPED = frozenset("Tt")
_DEAD = frozenset("ZX")


@dataclass(frozen=True, order=True)
class Process:
    """One process of this boot.

    Attributes
    ----------
    pid
        Its number.
    start
        When it started, in clock ticks since the boot (``/proc/PID/stat``, field 22).
    """

    pid: int
    start: int


@dataclass(frozen=True)
class _Stat:
    """The fields of ``/proc/PID/stat`` that are used here (proc(5))."""

    state: str
    parent: int
    cpu_ticks: int
    start: int


def boot_id() -> str:
    """Return what tells this boot of the machine from every other."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold anything: count from the last bracket.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(fields[0], int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19]))


def _own_stat(process: Process) -> _Stat | None:
    stat = _stat(process.pid)
    return stat if stat is not None and stat.start == process.start else None


def identify(pid: int) -> Process | None:
    """Return the process that has the number now, or None."""
    stat = _stat(pid)
    return None if stat is None or stat.state in _DEAD else Process(pid, stat.start)


def current() -> Process:
    """Return this process."""
    process = identify(os.getpid())
    if process is None:
        raise ProcessLookupError("/proc does not show this process: is it mounted?")
    return process


def is_alive(process: Process) -> bool:
    """Say whether the process still runs; a zombie does not."""
    stat = _own_stat(process)
    return stat is not None and stat.state not in _DEAD


def is_stopped(process: Process) -> bool:
    """Say whether a signal or a debugger holds the process."""
    stat = _own_stat(process)
    return stat is not None and stat.state in _STOPPED


def cpu_seconds(process: Process) -> float:
    """Return the CPU time used by all threads of the process, in seconds; 0 if it is gone."""
    stat = _own_stat(process)
    return 0.0 if stat is None else stat.cpu_ticks / _TICKS_PER_S


def title(process: Process) -> str:
    """Return the process's command line, or the title that it gave itself; empty if it is gone."""
    if _own_stat(process) is None:
        return ""
    try:
        line = (_PROC / str(process.pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return line.replace(b"\0", b" ").decode(errors="replace").strip()


def has_mapped(process: Process, library: str) -> bool:
    """Say whether a file whose name holds ``library`` is mapped into the process."""
    try:
        maps = (_PROC / str(process.pid) / "maps").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return library in maps


def oom_score(process: Process) -> int | None:
    """Return how readily the kernel kills the process for memory; None if it is gone."""
    if _own_stat(process) is None:
        return None
    try:
        return int((_PROC / str(process.pid) / "oom_score_adj").read_text(encoding="ascii"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def set_oom_score(process: Process, score: int) -> None:
    """Set how readily the kernel kills the process for memory, unless it is gone.

    Raises
    ------
    PermissionError
        If the score is less than the process may have.
    """
    if oom_score(process) in (None, score):
        return
    try:
        (_PROC / str(process.pid) / "oom_score_adj").write_text(str(score), encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal, unless the process is gone.

    Raises
    ------
    PermissionError
        If the process belongs to somebody else.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # The handle pins the process, so that it cannot be another one from here on.
        if _own_stat(process) is not None:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def ancestors(pid: int) -> Iterator[int]:
    """Yield ``pid``, its parent, and so on up to the first process."""
    while pid > 0:
        yield pid
        stat = _stat(pid)
        pid = 0 if stat is None else stat.parent


def with_environment(wanted: Mapping[str, str]) -> list[Process]:
    """Return this user's processes that have the variables ``wanted``, and their descendants.

    Descent counts because a process that rewrites its title (Ray's workers, vLLM's engine core)
    overwrites the memory that ``/proc/PID/environ`` shows.
    """
    marks = {f"{name}={value}".encode() for name, value in wanted.items()}
    found: dict[int, Process] = {}
    children: dict[int, list[int]] = {}
    marked: list[int] = []
    for pid in _own_pids():
        stat = _stat(pid)
        if stat is None or stat.state in _DEAD:
            continue
        found[pid] = Process(pid, stat.start)
        children.setdefault(stat.parent, []).append(pid)
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or a program with raised privileges: no pod's
        if marks.issubset(environment.split(b"\0")):
            marked.append(pid)
    return sorted(found[pid] for pid in _closure(marked, children))


def _closure(roots: Iterable[int], children: dict[int, list[int]]) -> set[int]:
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in seen:
            seen.add(pid)
            waiting.extend(children.get(pid, ()))
    return seen


def _own_pids() -> Iterator[int]:
    user = os.getuid()
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if entry.stat().st_uid == user:
                yield int(entry.name)
        except FileNotFoundError:
            continue  # ended meanwhile
