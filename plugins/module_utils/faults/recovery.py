# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo a fault in place of its runner: for the watchdog, and for an operator.

It needs neither the runner nor the catalogue: what is on the disk is enough.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from . import announcements, lock, processes, times
from .errors import FaultError, NotRevertedError
from .processes import Process
from .state import StateDir, Window
from .truth import GroundTruth
from .undo import Undo

_DEATH_S = 5.0
_SETTLE_TRIES = 10
_SETTLE_S = 0.1


def restore_until_verified(undo: Undo) -> None:
    """Restore, and look at the target, until it is as it was (a second at most).

    Raises
    ------
    NotRevertedError
        If it is not.
    """
    for tries_left in reversed(range(_SETTLE_TRIES)):
        try:
            undo.restore()
            undo.verify()
        except NotRevertedError:
            if tries_left == 0:
                raise
            time.sleep(_SETTLE_S)
        else:
            return


def fence(runner: Process) -> None:
    """Kill the runner, so that nobody gives the dose again once it is taken away."""
    processes.send(runner, signal.SIGKILL)
    deadline = time.monotonic() + _DEATH_S
    while processes.is_alive(runner) and time.monotonic() < deadline:
        time.sleep(0.01)


def take_over(state: StateDir, window: Window, undo: Undo, by: str, reason: str) -> bool:
    """Kill a window's runner, undo the fault, and finish its records.

    Parameters
    ----------
    by
        ``watchdog`` or ``operator``, for the ground truth.
    reason
        One sentence, for the ground truth.

    Returns
    -------
    bool
        False if somebody else had undone it.

    Raises
    ------
    NotRevertedError
        If the target is not as it was; the undo is kept.
    """
    if window.is_undone():
        return False
    # A runner that hangs may hold the guard. Else it is killed under it, so that a watchdog that
    # sees its end finds the fault undone.
    with state.guard(if_held=lambda: fence(undo.runner)):
        if window.is_undone():
            return False
        fence(undo.runner)
        requested = times.now_text()
        restore_until_verified(undo)
        try:
            _close_records(state, window, undo, requested, by, reason)
        except (FaultError, OSError) as error:
            # The target is back, and that counts more than what is told about it.
            sys.stderr.write(f"the records are not complete: {error}\n")
        window.mark_undone()
    lock.release(state, window)
    return True


def _close_records(
    state: StateDir, window: Window, undo: Undo, requested: str, by: str, reason: str
) -> None:
    state.record(window, "ABORTED", by=by, reason=reason)
    truth = GroundTruth.read(window.truth_file)
    truth.times["revert_requested"] = requested
    truth.stamp("reverted")
    truth.stamp("revert_verified")
    truth.reverted_by, truth.outcome = by, "aborted"
    truth.messages.append(reason)
    truth.write(window.truth_file)
    if undo.truth_path is not None:
        truth.write(Path(undo.truth_path))
    if undo.events_path is not None and truth.times["applied"] is not None:
        announcements.write_event(Path(undo.events_path), announcements.WINDOW_END, truth.title)


def revert_all(state: StateDir) -> list[str]:
    """Undo whatever is left in the state directory, and end an active fault.

    Returns
    -------
    list of str
        The windows that were undone.

    Raises
    ------
    FaultError
        If something could not be undone; the rest was.
    """
    undone, problems = [], []
    for window in state.pending():
        try:
            if take_over(state, window, window.read_undo(), "operator", "reverted by hand"):
                undone.append(window.id)
        except FaultError as error:
            problems.append(f"{window.id}: {error}")
    if problems:
        raise FaultError("; ".join(problems))
    return undone
