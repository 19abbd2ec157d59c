# SPDX-License-Identifier: Apache-2.0
"""Windows that others mark while a run goes on, such as a fault's (``schemas/events.json``).

An events file has one JSON object a line and may grow while it is read. Events are for the reader
of the figures alone: they never change the load.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from rcalab_common.times import format_utc, parse_utc

MAX_NAME = 200
"""Longest name of a window, in characters."""

MAX_EVENTS = 1000
"""Events of a run that are kept: more of them are a mistake of whoever writes them."""

# 2001: a number below it is in seconds, milliseconds or microseconds.
_LEAST_NS = 10**18


class Kind(StrEnum):
    """What happens to a window."""

    START = "window_start"
    END = "window_end"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A window begins or ends."""

    time_ns: int
    kind: Kind
    name: str

    @classmethod
    def parse(cls, line: bytes | str) -> Event:
        """Read one line of an events file; what else its object holds is left alone.

        Raises
        ------
        ValueError
            If it is no event; the message says what is wrong.
        """
        try:
            fields: Any = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ValueError("no JSON object")
        name = fields.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise ValueError(f"name must be a text of 1 to {MAX_NAME} characters")
        try:
            kind = Kind(str(fields.get("event")))
        except ValueError:
            raise ValueError(f"event must be one of {', '.join(Kind)}") from None
        return cls(_time_ns(fields), kind, name)

    def line(self) -> bytes:
        """Write the event as a line of an events file."""
        fields = {"time": format_utc(self.time_ns), "event": self.kind, "name": self.name}
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _time_ns(fields: dict[str, Any]) -> int:
    if ("time" in fields) == ("time_ns" in fields):
        raise ValueError("give time or time_ns")
    time, time_ns = fields.get("time"), fields.get("time_ns")
    if "time" in fields:
        if not isinstance(time, str):
            raise ValueError("time must be a text, as RFC 3339 has it")
        return parse_utc(time)
    if isinstance(time_ns, bool) or not isinstance(time_ns, int) or time_ns < _LEAST_NS:
        raise ValueError("time_ns must be a whole number of nanoseconds since the epoch")
    return time_ns


@dataclass(frozen=True, slots=True)
class Window:
    """A time that somebody marked; ``end_ns`` is ``None`` where its end was never told."""

    name: str
    start_ns: int
    end_ns: int | None


@dataclass(slots=True)
class Events:
    """The events that were read so far, and what was wrong with the others.

    Parameters
    ----------
    source
        File or URL, for messages.
    problems
        One sentence for each thing that could not be used; they end no run.
    """

    source: str
    problems: list[str] = field(default_factory=list)
    _events: list[Event] = field(default_factory=list)
    _lines: int = 0

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Take further whole lines."""
        for line in lines:
            self._lines += 1
            if not line.strip():
                continue
            try:
                event = Event.parse(line)
            except ValueError as error:
                self.complain(f"{self.source}, line {self._lines}: {error}")
                continue
            if len(self._events) >= MAX_EVENTS:
                self.complain(f"{self.source} has more than {MAX_EVENTS} events: not all are kept")
                break
            self._events.append(event)

    def complain(self, problem: str) -> None:
        """Note what is wrong, once."""
        if problem not in self.problems and len(self.problems) < MAX_EVENTS:
            self.problems.append(problem)

    @property
    def events(self) -> Sequence[Event]:
        """All events, in the order of time."""
        return sorted(self._events)

    def windows(self) -> list[Window]:
        """Return the windows by their start; one whose start is told again while open goes on."""
        return self._pair()[0]

    def all_problems(self) -> list[str]:
        """Return what was wrong with lines, and with starts and ends that don't go together."""
        return self.problems + self._pair()[1]

    def _pair(self) -> tuple[list[Window], list[str]]:
        windows: list[Window] = []
        problems: list[str] = []
        open_: dict[str, int] = {}
        for event in self.events:
            if event.kind is Kind.START:
                if event.name in open_:
                    problems.append(f"window {event.name!r} starts again before its end")
                open_.setdefault(event.name, event.time_ns)
            elif event.name in open_:
                windows.append(Window(event.name, open_.pop(event.name), event.time_ns))
            else:
                problems.append(f"window {event.name!r} ends without a start")
        windows += [Window(name, start_ns, None) for name, start_ns in open_.items()]
        return sorted(windows, key=lambda window: (window.start_ns, window.name)), problems

    def open_at(self, time_ns: int) -> tuple[str, ...]:
        """Return the names of the windows that are open at a time."""
        return tuple(
            window.name
            for window in self.windows()
            if window.start_ns <= time_ns and (window.end_ns is None or time_ns < window.end_ns)
        )
