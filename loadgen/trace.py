# SPDX-License-Identifier: Apache-2.0
"""Recorded loads: read line by line, kept as arrays of numbers, never as the file's text.

A format is a module of :mod:`loadgen.traces` with a ``FORMAT``; nothing else lists it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from loadgen import traces as _package
from loadgen.errors import ProfileError
from loadgen.workload import Trace

BLOCK_TOKENS = 512
"""Tokens of a prompt that one of a row's ``blocks`` stands for (Mooncake, section 4)."""

_MAX_TOKENS = 10_000_000
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded request.

    Parameters
    ----------
    time_ns
        When it came; only differences mean anything.
    prompt_tokens, output_tokens
        Its lengths. Where none came out, one is asked for.
    blocks
        Names of the prompt's blocks of :data:`BLOCK_TOKENS`; prompts with equal first names share
        a prefix. Empty where the trace knows nothing of it.
    """

    time_ns: int
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()


class RowError(Exception):
    """A line is no row; the text says why."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a recorded load down.

    Parameters
    ----------
    name
        As ``--trace-format`` takes it.
    recognises
        Tells from the first line whether a file is of this format.
    reader
        Takes the first line and returns what reads each line, ``None`` for a line to skip; raises
        :class:`RowError`.
    """

    name: str
    recognises: Callable[[str], bool]
    reader: Callable[[str], Callable[[str], Row | None]]


@cache
def formats() -> dict[str, Format]:
    """Return every format by its name."""
    found: dict[str, Format] = {}
    for module in iter_modules(_package.__path__):
        form: Format = import_module(f"{_package.__name__}.{module.name}").FORMAT
        found[form.name] = form
    return found


def read_trace(trace: Trace) -> Iterator[Row]:
    """Yield the rows of a trace, times counted from the first row and divided by the speed.

    Raises
    ------
    ProfileError
        If the file can't be read, is of no known format, or a line of it is no row or goes back
        in time; the message has the line's number.
    """
    lines = _lines(trace.path)
    _, first = next(lines, (0, ""))
    if not first:
        raise ProfileError(f"{trace.path}: the trace is empty")
    form = _format(trace, first)
    parse = form.reader(first)
    start_ns: int | None = None
    last_ns = 0
    for number, line in _again(first, lines):
        try:
            row = parse(line)
        except RowError as error:
            raise ProfileError(f"{trace.path}, line {number}: {error}") from error
        if row is None:
            continue
        if start_ns is None:
            start_ns = last_ns = row.time_ns
        if row.time_ns < last_ns:
            back_s = (last_ns - row.time_ns) / 1e9
            raise ProfileError(
                f"{trace.path}, line {number}: the time goes back by {back_s:g} s; "
                "sort the trace by its times"
            )
        last_ns = row.time_ns
        offset_ns = round((row.time_ns - start_ns) / trace.speed)
        yield Row(offset_ns, row.prompt_tokens, row.output_tokens, row.blocks)
    if start_ns is None:
        raise ProfileError(f"{trace.path}: the trace has no rows")


def whole_number(name: str, text: object, *, least: int = 0) -> int:
    """Read a count of tokens, which some files write as ``12.0``.

    Raises
    ------
    RowError
        If it is none.
    """
    try:
        value = float(text) if isinstance(text, str | int | float) else float("nan")
        whole = int(value)
    except (ValueError, OverflowError) as error:
        raise RowError(f"{name} is no whole number: {text!r}") from error
    if whole != value or not least <= whole <= _MAX_TOKENS:
        raise RowError(f"{name} must be a whole number from {least} to {_MAX_TOKENS}: {text!r}")
    return whole


def columns(header: str, wanted: Sequence[str], dialect: str) -> list[int]:
    """Return the places of some columns in a CSV file's header.

    Raises
    ------
    RowError
        If one is missing.
    """
    names = [name.strip().lower() for name in cells(header)]
    missing = [name for name in wanted if name.lower() not in names]
    if missing:
        raise RowError(f"a {dialect} trace needs the columns {', '.join(wanted)}")
    return [names.index(name.lower()) for name in wanted]


def cells(line: str) -> list[str]:
    """Split a line of CSV."""
    try:
        return next(csv.reader((line,)), [])
    except csv.Error as error:
        raise RowError(f"no line of CSV: {error}") from error


def _format(trace: Trace, first: str) -> Format:
    known = formats()
    if trace.format != "auto":
        form = known[trace.format]
        if form.recognises(first):
            return form
        raise ProfileError(f"{trace.path}, line 1: no {form.name} trace: {first[:80]!r}")
    for form in known.values():
        if form.recognises(first):
            return form
    raise ProfileError(
        f"{trace.path}, line 1: a trace of no known format ({', '.join(known)}): {first[:80]!r}"
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE:
                    raise ProfileError(f"{path}, line {number}: longer than {_LONGEST_LINE} bytes")
                yield number, line.rstrip("\r\n")
    except OSError as error:
        raise ProfileError(f"can't read the trace {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}, line {number + 1}: the trace is no text: {error}") from error


def _again(first: str, rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield 1, first
    yield from rest
