# SPDX-License-Identifier: Apache-2.0
"""One record a request, written while the run goes on (``schemas/requests.json``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from loadgen.errors import OutputError
from loadgen.outcomes import Outcome

WARMUP, MEASURED = "warmup", "measured"

_BUFFER_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one request; times are UTC nanoseconds since the epoch.

    ``response_*`` counts from the intended time, ``service_*`` from the real send. The fields and
    their meaning are those of ``schemas/requests.json``.
    """

    index: int
    request_id: str
    traceparent: str
    phase: str
    scheduled_ns: int
    sent_ns: int
    end_ns: int
    first_token_ns: int | None
    last_token_ns: int | None
    outcome: Outcome
    status: int | None
    error: str | None
    prompt_tokens: int | None
    output_tokens: int | None
    token_source: str | None
    response_ttft_ms: float | None
    response_latency_ms: float | None
    service_ttft_ms: float | None
    service_latency_ms: float | None
    tpot_ms: float | None
    max_gap_ms: float | None
    replica: str | None

    @property
    def success(self) -> bool:
        """Whether the whole answer came."""
        return self.outcome == Outcome.SUCCESS


class RecordWriter:
    """Appends records to a JSON Lines file; :meth:`flush` hands them to the system.

    Whole lines are appended by single writes, so that several processes can share the file.

    Parameters
    ----------
    path
        The file.
    replace
        Empty it first.

    Raises
    ------
    OutputError
        If the file can't be written, at any time.
    """

    def __init__(self, path: Path, *, replace: bool = True) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags | (os.O_TRUNC if replace else 0), 0o644)
        except OSError as error:
            raise self._error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not isinstance(error, OutputError):
                self.flush()
        finally:
            os.close(self._file)

    def write(self, record: Record) -> None:
        """Append one record."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self._size += len(line)
        if self._size > _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make what was written outlive this process."""
        lines, self._lines, self._size = b"".join(self._lines), [], 0
        try:
            while lines:
                lines = lines[os.write(self._file, lines) :]
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"can't write {self._path}: {error.strerror or error}")


def read_records(path: Path) -> Iterator[Record]:
    """Read a file of records, for figures that are made from the file alone.

    A last line that a kill cut short is left out.

    Raises
    ------
    OutputError
        If the file can't be read, or a whole line of it is no record.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise OutputError(f"can't read {path}: {error.strerror or error}") from error
    for number, line in enumerate(lines[:-1], start=1):
        try:
            fields = orjson.loads(line)
            yield Record(**{**fields, "outcome": Outcome(fields["outcome"])})
        except (ValueError, TypeError, KeyError) as error:
            raise OutputError(f"{path}, line {number} is no request record: {error}") from error
