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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import announcements, files, lock, processes, watchdog
from .announcements import Annotation
from .contract import Fault
from .errors import FaultError, NotRevertedError, RefusedError
from .guard import Guard, GuardSpec
from .processes import Process
from .state import StateDir, Window
from .truth import GroundTruth
from .undo import Undo

_TICK_S = 0.25
_LEAST_REVERT_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ended(Exception):  # noqa: N818 - a turn of events, and not always a bad one
    """How the window ended; raised where it ends early."""

    def __init__(self, outcome: str, reverted_by: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.reverted_by = reverted_by


@dataclass(frozen=True)
class Telling:
    """What is told to whom, beside the state directory.

    Attributes
    ----------
    truth_path
        Where the ground truth is written at the end; None for nowhere.
    events_path
        Where the window's begin and end are told to loadgen; None for nowhere.
    guard
        What ends the window early; None for nothing.
    """

    truth_path: Path | None = None
    events_path: Path | None = None
    guard: GuardSpec | None = None

    def check(self) -> None:
        """Raise `RefusedError` where it can't be done."""
        for what, path in (("ground truth", self.truth_path), ("events", self.events_path)):
            if path is not None and not os.access(path.parent, os.W_OK | os.X_OK):
                raise RefusedError(
                    f"the {what} can't be written: {path.parent} is no folder to write to"
                )
        if self.guard is not None:
            self.guard.check()


def check(fault: Fault, state: StateDir, telling: Telling) -> None:
    """Touch nothing, and raise `RefusedError` where `Runner.run` would refuse."""
    lock.check_free(state)
    telling.check()
    fault.preflight()


class Runner:
    """The one process that leads a fault; only its watchdog outlives it.

    Parameters
    ----------
    agent
        This program: the zipapp.
    telling
        What is told to whom.
    parent
        The process on whose behalf the fault is done: its death ends the window. None for nobody.
    """

    def __init__(
        self,
        fault: Fault,
        state: StateDir,
        *,
        agent: Path,
        telling: Telling = Telling(),
        parent: Process | None = None,
    ) -> None:
        self._fault = fault
        self._state = state
        self._agent = agent
        self._telling = telling
        longest_s = fault.give_deadline_s + fault.duration_s + fault.revert_deadline_s
        self._patience = watchdog.Patience(
            ttl_s=longest_s + watchdog.TTL_MARGIN_S,
            lease_s=fault.lease_s,
            retry_s=max(fault.revert_deadline_s, watchdog.LEAST_RETRY_S),
        )
        self._parent = parent
        self._stop = threading.Event()
        self._stop_reason = ""
        self._truth = GroundTruth.of(fault)
        self._watchdog: Process | None = None
        self._annotation: Annotation | None = None
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
            self._fault.window_id = self._window.id
            self._record("PLANNED", fault=self._fault.id, target=self._fault.target.component)
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
        lock.acquire(self._state, self._window, self._patience.ttl_s)
        self._telling.check()
        self._fault.preflight()
        self._measure_clocks()
        paths = (self._telling.truth_path, self._telling.events_path)
        truth_path, events_path = (None if path is None else str(path.absolute()) for path in paths)
        undo = Undo(
            boot_id=processes.boot_id(),
            runner=processes.current(),
            truth_path=truth_path,
            events_path=events_path,
            actions=self._fault.capture(),
        )
        self._truth.write(self._window.truth_file)
        self._renew_lease()
        files.write_json(self._window.undo_file, undo.to_json())
        return undo

    def _lead(self) -> _Ended:
        """Arm, inject and hold; return how it ended."""
        try:
            self._watchdog = watchdog.arm(
                self._agent,
                self._state,
                self._window,
                self._patience,
                self._fault.arm_deadline_s,
            )
            self._record("ARMED", watchdog=self._watchdog.pid)
            with self._guarded():
                self._hold_baseline()
                self._record("INJECTING")
                self._fault.inject()
                self._await_dose()
                self._truth.stamp("applied", self._fault.given_at())
                self._truth.write(self._window.truth_file)
                self._announce_begin()
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

    def _await_dose(self) -> None:
        deadline = time.monotonic() + self._fault.give_deadline_s
        while missing := self._fault.missing_dose():
            if time.monotonic() >= deadline:
                raise _Ended(
                    "not_effective",
                    "controller",
                    f"the dose was not given within {self._fault.give_deadline_s:g} s: {missing}",
                )
            self._stop.wait(_TICK_S)
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
            if active and fault.is_over():
                return
            if not active and time.monotonic() >= deadline:
                raise _Ended(
                    "not_effective",
                    "controller",
                    f"no effect on {fault.target.component} was seen within "
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
            self._truth.stamp("revert_requested")
            self._revert(undo)
            with self._state.guard():
                self._truth.stamp("revert_verified")
                self._announce_end()
                self._truth.outcome, self._truth.reverted_by = end.outcome, end.reverted_by
                self._truth.messages += self._fault.remarks()
                if message := str(end):
                    self._truth.messages.insert(0, message)
                paths = [self._window.truth_file]
                if self._telling.truth_path is not None:
                    paths.append(self._telling.truth_path)
                self._truth.write(*paths)
                aborted = end.outcome == "aborted"
                self._record("ABORTED" if aborted else "REVERTED", outcome=end.outcome)
                self._window.mark_undone()
        lock.release(self._state, self._window)

    def _measure_clocks(self) -> None:
        for name, ask in self._fault.target.clocks().items():
            try:
                self._truth.clock_offsets_ms |= ask()
            except OSError as error:
                self._truth.messages.append(f"the clock of {name} can't be compared: {error}")

    def _measure(self) -> None:
        if self._truth.times["applied"] is None:
            return
        try:
            self._truth.dose["measured"] = self._fault.measured_dose()
        except OSError as error:
            self._truth.messages.append(f"the dose can't be measured: {error}")

    def _revert(self, undo: Undo) -> None:
        """Revert, and look until the target is as it was or started again."""
        end = time.monotonic() + max(self._fault.revert_deadline_s, _LEAST_REVERT_S)
        first = True
        while True:
            try:
                if first:
                    self._fault.revert(undo)
                else:
                    undo.restore()
                self._truth.stamp("reverted")
                self._fault.verify_reverted(undo)
            except NotRevertedError:
                if time.monotonic() > end:
                    raise
            else:
                return
            # What is started again takes minutes, and is asked no more often than it bears.
            time.sleep(_TICK_S if first else min(1.0, self._fault.revert_deadline_s / 20))
            first = False
            self._renew_lease()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._telling.guard is None:
            yield
            return
        guard = Guard(self._telling.guard, self._request_stop)
        guard.start()
        try:
            yield
        finally:
            guard.close()

    def _request_stop(self, reason: str) -> None:
        self._stop_reason = reason
        self._stop.set()

    def _announce_begin(self) -> None:
        if self._telling.events_path is not None:
            announcements.write_event(
                self._telling.events_path, announcements.WINDOW_START, self._truth.title
            )
        grafana = self._fault.target.grafana
        if grafana is not None:
            tags = [self._fault.id, self._fault.target.component]
            self._annotation = Annotation(grafana, self._truth.title, tags)
            self._annotate(self._annotation.begin)

    def _announce_end(self) -> None:
        if self._telling.events_path is not None and self._truth.times["applied"] is not None:
            announcements.write_event(
                self._telling.events_path, announcements.WINDOW_END, self._truth.title
            )
        if self._annotation is not None:
            self._annotate(self._annotation.end)

    def _annotate(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (OSError, ValueError, KeyError) as error:
            self._truth.messages.append(f"Grafana was not told: {error}")

    def _record(self, state: str, **details: object) -> None:
        self._state.record(self._window, state, **details)

    @contextlib.contextmanager
    def _stop_signals(self) -> Iterator[None]:
        """Turn signals into a request that is looked at between two steps, never amid one."""

        def request(number: int, _frame: object) -> None:
            self._request_stop(f"{signal.Signals(number).name} was received")

        before = {number: signal.signal(number, request) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
