# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead-man's switch: a process of its own that undoes the fault when nobody else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from . import files, processes
from .errors import FaultError, NotRevertedError
from .processes import Process
from .recovery import fence, restore_until_verified, take_over
from .state import StateDir, Window
from .undo import Undo

# Beyond the dose's duration: arming, baseline and revert must fit.
TTL_MARGIN_S = 30.0
_LOOK_S = 0.25
_RETRY_S = 1.0
LEAST_RETRY_S = 300.0


@dataclass(frozen=True)
class Patience:
    """How long a watchdog waits for what, in seconds.

    Attributes
    ----------
    ttl_s
        Until it undoes the fault whatever happens.
    lease_s
        For the runner to renew its lease.
    retry_s
        Until it gives up on a target that can't be put back.
    """

    ttl_s: float
    lease_s: float
    retry_s: float


def arm(
    command: Sequence[str], state: StateDir, window: Window, patience: Patience, within_s: float
) -> Process:
    """Start the watchdog of a window, and return when it watches.

    Parameters
    ----------
    command
        How this program is run: the interpreter and the zipapp.
    within_s
        How long it may take to start, in seconds.

    Raises
    ------
    FaultError
        If it does not start.
    """
    arguments = ["--state-dir", str(state.path), "--window", window.id]
    for name, seconds in asdict(patience).items():
        arguments += [f"--{name.replace('_', '-')}", str(seconds)]
    with (window.path / "watchdog.log").open("wb") as log:
        # Not by `programs`: it is to outlive this process, in a session of its own.
        subprocess.run(  # pylint: disable=ansible-bad-function
            [*command, "watchdog", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            timeout=within_s,
            check=False,
        )
    deadline = time.monotonic() + within_s
    while (process := window.watchdog()) is None:
        if time.monotonic() > deadline:
            said = (window.path / "watchdog.log").read_text(errors="replace").strip()
            raise FaultError(f"the watchdog does not start: {said or 'no message'}")
        time.sleep(0.01)
    return process


def detach() -> None:
    """Go on in a child that the first process adopts; the caller's process ends here.

    `arm` has put the caller into a session of its own; its child can get no terminal any more.
    """
    if os.fork() != 0:
        os._exit(0)


def watch(state: StateDir, window: Window, patience: Patience) -> None:
    """Wait until the fault is undone, and undo it where nobody else will.

    That is when the time to live is over, the lease has not been renewed, or the runner is gone.

    Raises
    ------
    FaultError
        If the undo can't be read, or the target could not be put back in time.
    """
    undo = window.read_undo()
    files.write_json(window.watchdog_file, asdict(processes.current()))
    reason = _wait(window, undo, time.monotonic() + patience.ttl_s, patience.lease_s)
    if reason is None:
        return
    deadline = time.monotonic() + patience.retry_s
    while True:
        try:
            _undo(state, window, undo, reason)
        except NotRevertedError as error:
            if time.monotonic() > deadline:
                state.record(window, "LEAKED", reason=str(error))
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _undo(state: StateDir, window: Window, undo: Undo, reason: str) -> None:
    try:
        take_over(state, window, undo, "watchdog", reason)
    except OSError as error:
        # The state directory is gone or the disk is full; the target still has to be put back.
        sys.stderr.write(f"no records can be kept: {error}\n")
        fence(undo.runner)
        restore_until_verified(undo)


def _wait(window: Window, undo: Undo, end: float, lease_s: float) -> str | None:
    """Return why the fault has to be undone, or None once it is."""
    lease, renewed = _lease(window), time.monotonic()
    while not window.is_undone():
        now = time.monotonic()
        current = _lease(window)
        if current != lease:
            lease, renewed = current, now
        if not processes.is_alive(undo.runner):
            # It may have ended well between the two looks.
            return None if window.is_undone() else "the runner was gone"
        if now > end:
            return "the time to live was over"
        if now - renewed > lease_s:
            return f"the lease was not renewed for {lease_s:g} s"
        time.sleep(_LOOK_S)
    return None


def _lease(window: Window) -> bytes:
    try:
        return window.lease_file.read_bytes()
    except FileNotFoundError:
        return b""
