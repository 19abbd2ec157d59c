# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One active fault a lab: a lock with a time to live."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

from . import files, processes
from .errors import RefusedError
from .processes import Process
from .state import StateDir, Window


def check_free(state: StateDir) -> None:
    """Refuse while another fault is active, or one has left something to undo.

    Raises
    ------
    RefusedError
        If so, saying which and what to do.
    """
    active = holder(state)
    if active is not None:
        raise RefusedError(
            f"another fault is active: {active['window']}, led by process "
            f"{active['runner']['pid']}; wait for its end, or run the playbook revert_faults"
        )
    left = [window for window in state.pending() if not _is_moot(window)]
    if left:
        raise RefusedError(
            f"an earlier fault has left something to undo ({', '.join(w.id for w in left)}); "
            "run the playbook revert_faults"
        )


def acquire(state: StateDir, window: Window, ttl_s: float) -> None:
    """Take the lock for at most ``ttl_s`` seconds.

    Raises
    ------
    RefusedError
        As `check_free`.
    """
    with state.guard():
        check_free(state)
        for moot in state.pending():
            moot.discard()
        files.write_json(
            state.lock_file,
            {
                "window": window.id,
                "runner": asdict(processes.current()),
                "boot_id": processes.boot_id(),
                "expires_monotonic_ns": time.monotonic_ns() + round(ttl_s * 1e9),
            },
        )


def _is_moot(window: Window) -> bool:
    """Say whether a window's runner died with the undo written and nothing done yet."""
    return not window.was_armed() and not processes.is_alive(window.read_undo().runner)


def release(state: StateDir, window: Window) -> None:
    """Give the lock back, if the window has it."""
    with state.guard():
        lock = _read(state)
        if lock is not None and lock["window"] == window.id:
            state.lock_file.unlink()


def _read(state: StateDir) -> dict[str, Any] | None:
    try:
        lock: dict[str, Any] = json.loads(state.lock_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return lock


def holder(state: StateDir) -> dict[str, Any] | None:
    """Return the lock, if it is of this boot, in time, and its owner lives."""
    lock = _read(state)
    if (
        lock is None
        or lock["boot_id"] != processes.boot_id()
        or lock["expires_monotonic_ns"] < time.monotonic_ns()
        or not processes.is_alive(Process(**lock["runner"]))
    ):
        return None
    return lock
