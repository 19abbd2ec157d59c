# SPDX-License-Identifier: Apache-2.0
"""A finished run: its folder, its figures, its records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from loadgen.audit import Verdict
from loadgen.errors import OutputError
from loadgen.records import MEASURED, Record, read_records
from loadgen.summary import FORMAT, Asked
from rcalab_common.times import parse_utc

REQUESTS, SUMMARY, EVENTS = "requests.jsonl", "summary.json", "events.jsonl"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left: its figures, and where the files are."""

    summary: dict[str, Any]
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder of a finished run.

        Raises
        ------
        OutputError
            If there is no finished run, or one of another format.
        """
        path = folder / SUMMARY
        try:
            summary: Any = orjson.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise OutputError(
                f"{folder} holds no finished run: there is no {SUMMARY} in it"
            ) from error
        except (OSError, orjson.JSONDecodeError) as error:
            raise OutputError(f"can't read {path}: {error}") from error
        if not isinstance(summary, dict) or summary.get("format") != FORMAT:
            raise OutputError(f"{path} is no summary of format {FORMAT}")
        return cls(summary=summary, folder=folder)

    @property
    def requests_path(self) -> Path:
        """The records."""
        return self.folder / REQUESTS

    @property
    def summary_path(self) -> Path:
        """The figures."""
        return self.folder / SUMMARY

    @property
    def verdict(self) -> Verdict:
        """How far the figures can be trusted."""
        return Verdict(self.summary["audit"]["verdict"])

    @property
    def asked(self) -> Asked:
        """What the run was to do."""
        schedule = self.summary["schedule"]
        closed = self.summary["profile"]["closed"] is not None
        return Asked(
            profile=self.summary["profile"],
            sha256=schedule["sha256"],
            requests=0 if closed else schedule["requests"],
            warmup=0 if closed else schedule["warmup"],
            duration_s=schedule["duration_s"],
        )

    @property
    def span_ns(self) -> tuple[int, int]:
        """Start and end of the measured phase, epoch nanoseconds."""
        start_ns, end_ns = (parse_utc(self.summary[name]) for name in ("start", "end"))
        return self.asked.span_ns(start_ns, end_ns, self.summary["schedule"]["duration_s"])

    def records(self) -> list[Record]:
        """Read all records.

        Raises
        ------
        OutputError
            If they can't be read.
        """
        return list(read_records(self.requests_path))

    def measured(self) -> list[Record]:
        """Read the records of the measured phase, by their intended time."""
        records = (record for record in self.records() if record.phase == MEASURED)
        return sorted(records, key=lambda record: (record.scheduled_ns, record.index))
