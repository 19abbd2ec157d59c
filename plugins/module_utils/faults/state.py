# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state directory: one folder a fault window, one journal, one guard.

::

    <state_dir>/
      guard                   held (flock) while the lock or an undo is looked at and changed
      lock.json               who has the one active fault
      journal.jsonl           one line a transition
      windows/<id>/
        undo.json             what is still to be undone; renamed to undone.json when it is
        lease                 changed by the runner every second
        truth.json            the ground truth, as far as it is known
        watchdog.json         the watchdog's process
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, times
from .processes import Process
from .undo import Undo


@dataclass(frozen=True)
class Window:
    """The folder of one fault window."""

    path: Path

    @property
    def id(self) -> str:
        """The window's name: when it was asked for, and the fault."""
        return self.path.name

    @property
    def undo_file(self) -> Path:
        """What is still to be undone."""
        return self.path / "undo.json"

    @property
    def undone_file(self) -> Path:
        """What was undone."""
        return self.path / "undone.json"

    @property
    def lease_file(self) -> Path:
        """Whose content the runner changes every second."""
        return self.path / "lease"

    @property
    def truth_file(self) -> Path:
        """The ground truth so far."""
        return self.path / "truth.json"

    @property
    def watchdog_file(self) -> Path:
        """The watchdog's process, once it watches."""
        return self.path / "watchdog.json"

    def is_undone(self) -> bool:
        """Say whether the undo was carried out and verified."""
        return self.undone_file.exists()

    def was_armed(self) -> bool:
        """Say whether a watchdog has watched; no dose is given before."""
        return self.watchdog_file.exists()

    def read_undo(self) -> Undo:
        """Read the undo, done or not.

        Raises
        ------
        FaultError
            If there is none, or it can't be read.
        """
        return Undo.read(self.undone_file if self.is_undone() else self.undo_file)

    def discard(self) -> None:
        """Remove the folder of a window that was refused, and so has nothing to undo."""
        shutil.rmtree(self.path)

    def mark_undone(self) -> None:
        """Record that nothing is left to undo."""
        files.rename(self.undo_file, self.undone_file)

    def watchdog(self) -> Process | None:
        """Return the watchdog's process, or None before it watches."""
        try:
            return Process(**json.loads(self.watchdog_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None


@dataclass(frozen=True)
class StateDir:
    """The state directory of one lab on one host."""

    path: Path

    @property
    def lock_file(self) -> Path:
        """Who has the one active fault."""
        return self.path / "lock.json"

    @property
    def _windows(self) -> Path:
        return self.path / "windows"

    def new_window(self, fault_id: str) -> Window:
        """Make the folder of a new window, readable by its owner only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        window = Window(self._windows / f"{times.now_text().replace(':', '')}-{fault_id}")
        window.path.mkdir(parents=True)
        return window

    def window(self, window_id: str) -> Window:
        """Return the window of that name."""
        return Window(self._windows / window_id)

    def pending(self) -> list[Window]:
        """Return the windows with something left to undo, oldest first."""
        return [Window(file.parent) for file in sorted(self._windows.glob("*/undo.json"))]

    @contextlib.contextmanager
    def guard(self, if_held: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep every other process out while the lock or an undo is looked at and changed.

        Where another has it now, ``if_held`` is called before that one is waited for.
        """
        with (self.path / "guard").open("w") as handle:  # let go at its close, or at death
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if if_held is not None:
                    if_held()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def record(self, window: Window, state: str, **details: Any) -> None:
        """Write one transition to the journal."""
        line = {"time": times.now_text(), "window": window.id, "state": state, **details}
        files.append_json_line(self.path / "journal.jsonl", line)
