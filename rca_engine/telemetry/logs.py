# SPDX-License-Identifier: Apache-2.0
"""Log files to the ``logs`` table: what fell into the window, line by line.

A line without a time of its own (a stack trace goes on) takes that of the line before it, in a file
that has not shown one yet that of the next, in a file without any the file's own. Such lines are
counted for the manifest; none is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.schemas.tables import TABLES
from rcalab_common.times import parse_utc

_SUFFIXES = {".log", ".out", ".err"}
LEVELS = {
    "D": "debug", "I": "info", "W": "warning", "E": "error", "F": "fatal", "C": "fatal",
    "DEBUG": "debug", "INFO": "info", "NOTICE": "info", "WARN": "warning", "WARNING": "warning",
    "ERROR": "error", "CRIT": "fatal", "CRITICAL": "fatal", "FATAL": "fatal", "ALERT": "fatal",
    "EMERG": "fatal",
}  # fmt: skip
_LEVEL = r"(?P<level>D|I|W|E|F|C|[A-Za-z]{4,8})"
_CLOCK = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_DAY = r"(?:(?P<y>\d{4})[-/])?(?P<mo>\d\d)[-/](?P<d>\d\d)"
_TIME = rf"{_DAY}[ T]{_CLOCK}(?P<zone>Z|[+-]\d\d:?\d\d)?"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # nginx's error log: 2026/11/22 16:43:37 [error] 12#12: ...
        # Ray's core: [2026-11-22 16:43:37,123 I 512 512] ...
        rf"\[?{_TIME}\s+\[?{_LEVEL}\b",
        # Ray Serve and vLLM, after an optional (process): INFO 2026-11-22 16:43:37,123 ...
        rf"(?:\([^)]*\)\s*)?{_LEVEL}\s+{_TIME}",
        rf"\[?{_TIME}",
    )
)
_JSON_TIMES = ("msec", "timestamp", "time", "ts", "asctime")
_JSON_LEVELS = ("level", "levelname", "severity")


@dataclass(frozen=True)
class LogSource:
    """Log files of one component: ``path`` is a file, or a folder whose log files are all read."""

    component: str
    stream: str
    path: Path


@dataclass(frozen=True)
class Logs:
    """Columns of the ``logs`` table and the record of how they were read, for the manifest."""

    columns: Mapping[str, list[Any]]
    rows: int
    warnings: tuple[str, ...]


def read_logs(sources: Iterable[LogSource], window: Window, *, zone: tzinfo | None = None) -> Logs:
    """Read the lines that fall into the window.

    Parameters
    ----------
    sources
        Where to read.
    window
        Both ends inclusive.
    zone
        Of times that name none; the local zone of this machine if None.

    Raises
    ------
    TelemetryError
        If a source does not exist, or a file can't be read.
    """
    rows: list[tuple[int, str, str, str | None, str]] = []
    warnings: list[str] = []
    for source in sources:
        files = list(_files(source.path))
        if not files:
            warnings.append(f"{source.path}: no log files")
        for path in files:
            stream = source.stream if path == source.path else f"{source.stream}/{path.name}"
            untimed = 0
            for time_ns, level, message, own in _lines(path, zone):
                if window.start_ns <= time_ns <= window.end_ns:
                    rows.append((time_ns, source.component, stream, level, message))
                    untimed += not own
            if untimed:
                warnings.append(f"{path}: {untimed} lines have no time of their own")
    rows.sort(key=lambda row: row[0])  # stable: lines of one time stay in their file's order
    names = TABLES["logs"].names
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return Logs(columns, len(rows), tuple(warnings))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(
            each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file()
        )
    else:
        raise TelemetryError(f"{path}: no such log file or folder")


def _lines(path: Path, zone: tzinfo | None) -> Iterator[tuple[int, str | None, str, bool]]:
    """Yield (time, level, text, whether the time is the line's own)."""
    try:
        modified_ns = path.stat().st_mtime_ns
        year = datetime.fromtimestamp(modified_ns // NS, UTC).year
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise TelemetryError(f"{path}: log can't be read: {error.strerror}") from None
    parsed = [(*_parse(line, year, zone), line) for line in lines if line.strip()]
    last_ns = next((time_ns for time_ns, _, _ in parsed if time_ns is not None), modified_ns)
    for time_ns, level, line in parsed:
        last_ns = last_ns if time_ns is None else time_ns
        yield last_ns, level, line, time_ns is not None


def _parse(line: str, year: int, zone: tzinfo | None) -> tuple[int | None, str | None]:
    if line.startswith("{"):
        return _parse_json(line, year, zone)
    for pattern in _PATTERNS:
        match = pattern.match(line)
        if match is not None:
            level = match.groupdict().get("level") or ""
            return _time(match, year, zone), LEVELS.get(level.upper())
    return None, None


def _parse_json(line: str, year: int, zone: tzinfo | None) -> tuple[int | None, str | None]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None, None
    level = next((str(record[key]) for key in _JSON_LEVELS if key in record), "")
    value = next((record[key] for key in _JSON_TIMES if key in record), None)
    time_ns: int | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        time_ns = round(value * 1000) * 1_000_000
    elif isinstance(value, str):
        match = _PATTERNS[-1].match(value)
        time_ns = None if match is None else _time(match, year, zone)
    return time_ns, LEVELS.get(level.upper())


def _time(match: re.Match[str], year: int, zone: tzinfo | None) -> int | None:
    """Read a matched time; ``year`` is that of the file where the line names none (vLLM)."""
    part = match.groupdict()
    day = f"{part['y'] or year}-{part['mo']}-{part['d']}"
    text = f"{day}T{part['h']}:{part['mi']}:{part['s']}"
    fraction = f".{part['f']}" if part["f"] else ""
    try:
        offset = part["zone"]
        if offset is None:
            local = datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
            text, offset = f"{local:%Y-%m-%dT%H:%M:%S}", "Z"
        elif ":" not in offset and offset != "Z":
            offset = f"{offset[:3]}:{offset[3:]}"
        return parse_utc(f"{text}{fraction}{offset}")
    except (ValueError, OverflowError):
        return None
