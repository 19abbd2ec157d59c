# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load that a stopped controller has left behind: it is a process of its own, and goes on.

Two loads at once would spoil the next run, and the older one would write its figures into the
newer one's folder, which has the same name.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.rcalab.llm.plugins.module_utils.faults import processes

from .errors import ExperimentError

_PROC = Path("/proc")
_DEST = "--out="
# loadgen ends within a second of a signal; what is in flight then is recorded as cancelled.
_PATIENCE_S = 30.0
_POLL_S = 0.05


def end_loads(folder: Path) -> int:
    """End every load whose records go below ``folder``; return how many there were.

    Raises
    ------
    ExperimentError
        If one does not end.
    """
    found = list(_loads(folder.resolve()))
    for process in found:
        processes.send(process, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_S
    while alive := [process for process in found if processes.is_alive(process)]:
        if time.monotonic() > deadline:
            raise ExperimentError(
                f"an earlier load on {folder} does not end (process {alive[0].pid}): end it by hand"
            )
        time.sleep(_POLL_S)
    return len(found)


def _loads(folder: Path) -> Iterator[processes.Process]:
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        process = processes.identify(int(entry.name))
        if process is not None and _writes_below(entry, folder):
            yield process


def _writes_below(entry: Path, folder: Path) -> bool:
    """Tell whether a process is loadgen with its destination below the folder."""
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        where = (entry / "cwd").readlink()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # gone meanwhile, or somebody else's
    given = [word.removeprefix(_DEST) for word in words if word.startswith(_DEST)]
    return "loadgen" in words and any(
        Path(where, dest).resolve().is_relative_to(folder) for dest in given
    )
