# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End a window early when the client suffers too much, or when a command says so."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import programs
from .errors import RefusedError

_LEAST_REQUESTS = 5
_KEYS = {"command", "requests", "max_error_ratio", "window_s", "every_s"}


@dataclass(frozen=True)
class GuardSpec:
    """What to look at, and when it is too much.

    Attributes
    ----------
    command
        A program and its arguments; an exit code other than 0, or no end in time, is too much.
    requests
        loadgen's records, read as they grow.
    max_error_ratio
        Share of the requests that ended within ``window_s`` seconds and failed: more is too much.
    every_s
        How often it is looked at, and how long a command may take.
    """

    command: tuple[str, ...] = ()
    requests: Path | None = None
    max_error_ratio: float = 0.5
    window_s: float = 10.0
    every_s: float = 2.0

    @classmethod
    def parse(cls, data: Any) -> GuardSpec:
        """Read the ``guard`` of a spec.

        Raises
        ------
        RefusedError
            If it is none, or watches nothing.
        """
        if not isinstance(data, Mapping) or set(data) - _KEYS:
            raise RefusedError(f"guard must be an object of {', '.join(sorted(_KEYS))}")
        command, requests = data.get("command", []), data.get("requests")
        if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
            raise RefusedError("guard.command must be a list of a program and its arguments")
        if requests is not None and not isinstance(requests, str):
            raise RefusedError("guard.requests must be the path of loadgen's requests.jsonl")
        if not command and requests is None:
            raise RefusedError("guard watches nothing: give it a command or requests")
        return cls(
            tuple(command),
            None if requests is None else Path(requests),
            _number(data, "max_error_ratio", 0.5, 0.0, 1.0),
            _number(data, "window_s", 10.0, 1.0, 300.0),
            _number(data, "every_s", 2.0, 0.1, 60.0),
        )

    def check(self) -> None:
        """Raise `RefusedError` where it can't be watched now: a blind guard guards nothing."""
        if self.requests is not None and not self.requests.is_file():
            raise RefusedError(f"guard.requests: there is no file {self.requests}; is the load on?")
        if self.command and (problem := _ask(self.command, self.every_s)) is not None:
            raise RefusedError(f"the guard would end this fault at once: {problem}")


def _number(
    data: Mapping[str, Any], name: str, default: float, minimum: float, maximum: float
) -> float:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefusedError(f"guard.{name} must be a number, not {value!r}")
    if not minimum <= value <= maximum:
        raise RefusedError(f"guard.{name} must be from {minimum:g} to {maximum:g}, not {value!r}")
    return float(value)


def _ask(command: tuple[str, ...], timeout_s: float) -> str | None:
    try:
        done = programs.run(command, timeout_s)
    except TimeoutError as error:
        return str(error)
    except OSError as error:
        return f"{command[0]} can't be run: {error}"
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().partition("\n")[0]
    return f"{command[0]} ended with {done.returncode}" + (f": {said}" if said else "")


class Guard:
    """Looks in a thread of its own, and tells once when it is too much."""

    def __init__(self, spec: GuardSpec, tell: Callable[[str], None]) -> None:
        self._spec = spec
        self._tell = tell
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ended: deque[tuple[int, bool]] = deque()
        self._offset = 0
        if spec.requests is not None:
            self._offset = spec.requests.stat().st_size

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(self._spec.every_s + 1)

    def _run(self) -> None:
        while not self._ending.wait(self._spec.every_s):
            try:
                problem = self._look()
            except (OSError, ValueError) as error:
                problem = f"the guard is blind: {error}"
            if problem is not None and not self._ending.is_set():
                self._tell(problem)
                return

    def _look(self) -> str | None:
        spec = self._spec
        if spec.requests is not None and (problem := self._count(spec.requests)) is not None:
            return problem
        return _ask(spec.command, spec.every_s) if spec.command else None

    def _count(self, path: Path) -> str | None:
        with path.open("rb") as handle:
            handle.seek(self._offset)
            data = handle.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            record = json.loads(line)
            self._ended.append((int(record["end_ns"]), record["outcome"] != "success"))
        oldest = time.time_ns() - round(self._spec.window_s * 1e9)
        recent = [failed for end_ns, failed in self._ended if end_ns >= oldest]
        self._ended = deque(each for each in self._ended if each[0] >= oldest)
        if len(recent) < _LEAST_REQUESTS or sum(recent) <= self._spec.max_error_ratio * len(recent):
            return None
        return (
            f"{sum(recent)} of the {len(recent)} requests of the last {self._spec.window_s:g} s "
            f"failed, more than {self._spec.max_error_ratio:g} of them"
        )
