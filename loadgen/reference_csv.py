# SPDX-License-Identifier: Apache-2.0
"""The reference load tool's summary: one row of means a run, appended to a CSV file.

Its fourteen columns come first, as it defines them: means over the successes, from the real send,
in milliseconds, latency per token over all tokens. What they leave out follows.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from loadgen.errors import saving
from loadgen.profile import Profile
from loadgen.records import MEASURED, Record
from loadgen.result import Result

REFERENCE_COLUMNS = (
    "Provider",
    "Model",
    "Prompt Tokens",
    "Generation Tokens",
    "Stream",
    "Temperature",
    "Logprobs",
    "Concurrency",
    "Time To First Token",
    "Latency Per Token",
    "Num Tokens",
    "Total Latency",
    "Num Requests",
    "Qps",
)
OWN_COLUMNS = ("Scheduled", "Failed", "Attainment", "Audit")


def append_row(path: Path, result: Result, profile: Profile) -> None:
    """Append a run's row, under a header where the file is new.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    records = [record for record in result.records() if record.success]
    row = _reference(records, profile) | _own(result.summary)
    with saving(path), path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*REFERENCE_COLUMNS, *OWN_COLUMNS])
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def _reference(records: Sequence[Record], profile: Profile) -> dict[str, Any]:
    done = [record for record in records if record.phase == MEASURED]
    values = (
        profile.provider,
        profile.model,
        _mean(record.prompt_tokens for record in done),
        profile.output_tokens,
        profile.api.stream,
        profile.api.temperature,
        "" if profile.api.logprobs is None else profile.api.logprobs,
        profile.closed.users if profile.closed else profile.bursts.size if profile.bursts else "",
        _mean(record.service_ttft_ms for record in done),
        _mean(map(_per_token_ms, done)),
        _mean(record.output_tokens for record in done),
        _mean(record.service_latency_ms for record in done),
        len(done),
        "" if profile.rate_per_s is None else profile.rate_per_s,
    )
    return dict(zip(REFERENCE_COLUMNS, values, strict=True))


def _own(summary: dict[str, Any]) -> dict[str, Any]:
    values = (
        summary["requests"]["scheduled"],
        summary["requests"]["failed"],
        summary["slo"]["attainment"],
        summary["audit"]["verdict"],
    )
    return dict(zip(OWN_COLUMNS, values, strict=True))


def _per_token_ms(record: Record) -> float | None:
    if record.first_token_ns is None or not record.output_tokens:
        return None
    return (record.end_ns - record.first_token_ns) / 1e6 / record.output_tokens


def _mean(values: Iterable[float | None]) -> float | str:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 6) if known else ""
