# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lead one fault through its window.

States: PLANNED, PREFLIGHT, ARMED, INJECTING, ACTIVE, REVERTING, then REVERTED or ABORTED.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import files, lock, processes, recovery, watchdog
from .contract import Fault
from .errors import FaultError, NotRevertedError, RefusedError
from .processes import Process
from .state import StateDir, Window
from .truth import GroundTruth
from .undo import Undo

_TICK_S = 0.25
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ended(Exception):  # noqa: N818 - a turn of events, and not always a bad one
    """How the window ended; raised where it ends early."""

    def __init__(self, outcome: str, reverted_by: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.reverted_by = reverted_by


def check(fault: Fault, state: StateDir, truth_path: Path | None) -> None:
    """Touch nothing, and raise `RefusedError` where `Runner.run` would refuse."""
    lock.check_free(state)
    _check_truth_path(truth_path)
    fault.preflight()


def _check_truth_path(path: Path | None) -> None:
    if path is not None and not os.access(path.parent, os.W_OK | os.X_OK):
        raise RefusedError(
            f"the ground truth can't be written: {path.parent} is no folder to write to"
        )


class Runner:
    """The one process that leads a fault; only its watchdog outlives it.

    Parameters
    ----------
    watchdog_command
        How this program is run: the interpreter and the zipapp.
    truth_path
        Where the ground truth is written at the end; None for nowhere but the state directory.
    parent
        The process on whose behalf the fault is done: its death ends the window. None for nobody.
    """

    def __init__(
        self,
        fault: Fault,
        state: StateDir,
        *,
        watchdog_command: Sequence[str],
        truth_path: Path | None = None,
        parent: Process | None = None,
    ) -> None:
        self._fault = fault
        self._state = state
        self._watchdog_command = watchdog_command
        self._truth_path = truth_path
        self._parent = parent
        self._stop = threading.Event()
        self._stop_reason = ""
        self._truth = GroundTruth.of(fault)
        self._watchdog: Process | None = None
        self._window: Window

    def run(self) -> GroundTruth:
        """Lead the fault through its window, and return the truth about it.

        Raises
        ------
        RefusedError
            If it was refused; nothing was touched.
        NotRevertedError
            If the target is not as it was; the watchdog keeps trying.
        """
        with self._stop_signals():
            self._window = self._state.new_window(self._fault.id)
            self._record("PLANNED", fault=self._fault.id, target=self._truth.target["component"])
            try:
                undo = self._prepare()
            except (FaultError, OSError) as error:
                self._record("ABORTED", reason=str(error))
                lock.release(self._state, self._window)
                self._window.discard()
                raise
            try:
                end = self._lead()
            except BaseException as error:
                self._finish(undo, _Ended("aborted", "abort", f"the agent failed: {error!r}"))
                raise
            self._finish(undo, end)
        return self._truth

    def _prepare(self) -> Undo:
        """Refuse, or put the undo on the disk."""
        self._record("PREFLIGHT")
        ttl_s = self._fault.duration_s + watchdog.TTL_MARGIN_S
        lock.acquire(self._state, self._window, ttl_s)
        _check_truth_path(self._truth_path)
        self._fault.preflight()
        undo = Undo(
            boot_id=processes.boot_id(),
            runner=processes.current(),
            truth_path=None if self._truth_path is None else str(self._truth_path.absolute()),
            actions=self._fault.capture(),
        )
        self._truth.write(self._window.truth_file)
        self._renew_lease()
        files.write_json(self._window.undo_file, undo.to_json())
        return undo

    def _lead(self) -> _Ended:
        """Arm, inject and hold; return how it ended."""
        try:
            ttl_s = self._fault.duration_s + watchdog.TTL_MARGIN_S
            self._watchdog = watchdog.arm(self._watchdog_command, self._state, self._window, ttl_s)
            self._record("ARMED", watchdog=self._watchdog.pid)
            self._hold_baseline()
            self._record("INJECTING")
            self._fault.inject()
            self._truth.stamp("applied")
            self._truth.write(self._window.truth_file)
            self._hold_dose()
        except _Ended as end:
            return end
        except (FaultError, OSError) as error:
            return _Ended("aborted", "abort", str(error))
        return _Ended("effective", "controller", "")

    def _hold_baseline(self) -> None:
        end = time.monotonic() + self._fault.baseline_s
        while (now := time.monotonic()) < end:
            self._tick()
            self._stop.wait(min(_TICK_S, end - now))
        self._tick()

    def _hold_dose(self) -> None:
        fault, begin = self._fault, time.monotonic()
        end = begin + fault.duration_s
        deadline = begin + min(fault.effect_deadline_s, fault.duration_s)
        active = fault.sham
        if fault.sham:
            self._record("ACTIVE")
        while (now := time.monotonic()) < end:
            self._stop.wait(min(_TICK_S, end - now))
            self._tick()
            if problem := fault.disturbance():
                raise _Ended("contaminated", "controller", problem)
            if fault.sham or not active:
                seen = fault.verify_effect()
                if seen and fault.sham:
                    raise _Ended("contaminated", "controller", "an effect was seen without a dose")
                if seen:
                    active = True
                    self._truth.stamp("effect_first_seen")
                    self._truth.write(self._window.truth_file)
                    self._record("ACTIVE")
            if not active and time.monotonic() >= deadline:
                raise _Ended(
                    "not_effective",
                    "controller",
                    f"no effect on {self._truth.target['component']} was seen within "
                    f"{deadline - begin:g} s; is there load on it?",
                )

    def _tick(self) -> None:
        """Show that the runner lives, and see whether it should go on."""
        self._renew_lease()
        if self._stop.is_set():
            raise _Ended("aborted", "abort", self._stop_reason)
        if self._parent is not None and not processes.is_alive(self._parent):
            raise _Ended("aborted", "abort", "the process that asked for the fault is gone")
        if self._watchdog is None or not processes.is_alive(self._watchdog):
            raise _Ended("aborted", "abort", "the watchdog is gone: no fault goes on without it")

    def _renew_lease(self) -> None:
        self._window.lease_file.write_text(f"{time.monotonic_ns()}\n", encoding="ascii")

    def _finish(self, undo: Undo, end: _Ended) -> None:
        """Revert, verify, and write the truth; the undo counts as done only after all of it."""
        try:
            self._record("REVERTING")
            self._measure()
        finally:
            with self._state.guard():
                self._truth.stamp("revert_requested")
                self._revert(undo)
                self._truth.stamp("revert_verified")
                self._truth.outcome, self._truth.reverted_by = end.outcome, end.reverted_by
                if message := str(end):
                    self._truth.messages.append(message)
                paths = [self._window.truth_file]
                if self._truth_path is not None:
                    paths.append(self._truth_path)
                self._truth.write(*paths)
                aborted = end.outcome == "aborted"
                self._record("ABORTED" if aborted else "REVERTED", outcome=end.outcome)
                self._window.mark_undone()
        lock.release(self._state, self._window)

    def _measure(self) -> None:
        if self._truth.times["applied"] is None:
            return
        try:
            self._truth.dose["measured"] = self._fault.measured_dose()
        except OSError as error:
            self._truth.messages.append(f"the dose can't be measured: {error}")

    def _revert(self, undo: Undo) -> None:
        try:
            self._fault.revert(undo)
            self._truth.stamp("reverted")
            self._fault.verify_reverted(undo)
        except NotRevertedError:
            recovery.restore_until_verified(undo)
            self._truth.stamp("reverted")

    def _record(self, state: str, **details: object) -> None:
        self._state.record(self._window, state, **details)

    @contextlib.contextmanager
    def _stop_signals(self) -> Iterator[None]:
        """Turn signals into a request that is looked at between two steps, never amid one."""

        def request(number: int, _frame: object) -> None:
            self._stop_reason = f"{signal.Signals(number).name} was received"
            self._stop.set()

        before = {number: signal.signal(number, request) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
