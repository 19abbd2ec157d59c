# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead-man's switch: a process of its own that has the fault undone when nobody else does."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import sentinel
from .errors import FaultError, NotRevertedError
from .processes import Process
from .recovery import fence, restore_until_verified, take_over
from .state import StateDir, Window
from .undo import Undo

# Beyond the dose's duration: arming, baseline and revert must fit.
TTL_MARGIN_S = 30.0
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
    agent: Path, state: StateDir, window: Window, patience: Patience, within_s: float
) -> Process:
    """Start the watchdog of a window, and return when it watches.

    It waits as the small program `sentinel`, and has the agent carry out `put_back`.

    Parameters
    ----------
    agent
        This program: the zipapp.
    within_s
        How long it may take to start, in seconds.

    Raises
    ------
    FaultError
        If it does not start.
    """
    handles = (
        os.pidfd_open(window.read_undo().runner.pid),
        os.open(agent, os.O_RDONLY),
        os.open(window.undo_file, os.O_RDONLY),
    )
    try:
        with (window.path / "watchdog.log").open("wb") as log:
            # Not by `programs`: it is to outlive this process, in a session of its own.
            subprocess.run(  # pylint: disable=ansible-bad-function
                _command(state, window, patience, *handles),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                pass_fds=handles,
                timeout=within_s,
                check=False,
            )
    finally:
        for handle in handles:
            os.close(handle)
    deadline = time.monotonic() + within_s
    while (process := window.watchdog()) is None:
        if time.monotonic() > deadline:
            said = (window.path / "watchdog.log").read_text(errors="replace").strip()
            raise FaultError(f"the watchdog does not start: {said or 'no message'}")
        time.sleep(0.01)
    return process


def _command(
    state: StateDir, window: Window, patience: Patience, runner: int, agent: int, undo: int
) -> list[str]:
    """Return how the watchdog is run, with the handles of what it must not lose."""
    files = (window.watchdog_file, window.undone_file, window.lease_file)
    times = (patience.ttl_s, patience.lease_s, patience.retry_s)
    return [
        *(sys.executable, "-I", "-S", "-c", inspect.getsource(sentinel)),
        *(str(runner), *map(str, files), *map(str, times)),
        # With the interpreter's packages: the agent of a cluster needs one.
        *(sys.executable, f"/proc/self/fd/{agent}", "put-back", "--undo", f"/proc/self/fd/{undo}"),
        *("--state-dir", str(state.path), "--window", window.id),
        *("--retry-s", str(patience.retry_s), "--reason"),
    ]


def put_back(state: StateDir, window: Window, undo: Undo, reason: str, retry_s: float) -> None:
    """Undo a window's fault in place of its runner, and try for so many seconds.

    Raises
    ------
    NotRevertedError
        If the target could not be put back in time.
    """
    deadline = time.monotonic() + retry_s
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
