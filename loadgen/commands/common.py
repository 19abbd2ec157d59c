# SPDX-License-Identifier: Apache-2.0
"""What the verbs of the command line share: numbers, checked values, and how they are stopped."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from loadgen.errors import ProfileError

T = TypeVar("T")
Add = Callable[..., argparse.Action]

EXIT_OK, EXIT_ERROR, EXIT_INVALID, EXIT_ASSERTION, EXIT_NOT_FOUND = 0, 1, 3, 4, 5

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}


def number(add: Add, *flags: str, default: float, metavar: str, text: str) -> None:
    """Add an option for a number of the type of its default, which its help shows."""
    add(
        *flags,
        type=type(default),
        default=default,
        metavar=metavar,
        help=f"{text} (default: {default:g})",
    )


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Give a parser's own message to the user, as argparse shows no other exception's."""

    def check(text: str) -> T:
        try:
            return parse(text)
        except ProfileError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return check


def seconds(text: str) -> float:
    """Read a time: ``90``, ``90s``, ``1.5m`` or ``1h30m``.

    Raises
    ------
    ProfileError
        If it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms]?)", text)
    if not parts or "".join(amount + unit for amount, unit in parts) != text:
        raise ProfileError(
            f"a time is a number of seconds, or such as 90s, 5m, 1h30m; got {text!r}"
        )
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in parts)


@dataclass(slots=True)
class Stop:
    """Set by SIGINT and SIGTERM, or by the end of standard input."""

    event: asyncio.Event
    exit_code: int = EXIT_OK

    def on_signal(self, number: signal.Signals) -> None:
        """Stop, and remember the exit code that tells why."""
        self.exit_code = 128 + number
        self.event.set()

    def on_eof(self) -> None:
        """Stop when whoever holds the other end of standard input is gone."""
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.on_signal(signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Give what SIGINT and SIGTERM set; afterwards they do what they always do."""
    stop = Stop(asyncio.Event())
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for signal_number in numbers:
        loop.add_signal_handler(signal_number, stop.on_signal, signal_number)
    try:
        yield stop
    finally:
        for signal_number in numbers:
            loop.remove_signal_handler(signal_number)


def watch_stdin(stop: Stop) -> None:
    """Stop at the end of standard input too.

    Raises
    ------
    ProfileError
        If that can't be watched.
    """
    try:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.on_eof)
    except OSError as error:
        raise ProfileError("--stop-on-eof needs a pipe or a terminal as standard input") from error
