# SPDX-License-Identifier: Apache-2.0
"""What a run leaves in its folder beside the records; the summary marks its end, so it is last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loadgen.errors import OutputError, saving
from loadgen.events import Events
from loadgen.outputs.timeseries import write_timeseries
from loadgen.result import EVENTS, SUMMARY, Result
from loadgen.windows import describe_windows
from rcalab_common.files import write_json, write_text


def make_room(folder: Path, *, force: bool) -> None:
    """Make the folder of a run; take away what a run before left there, if ``force`` allows it.

    Raises
    ------
    OutputError
        If it holds a finished run and ``force`` is not given, or can't be written.
    """
    check_room(folder, force=force)
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (SUMMARY, EVENTS):
            (folder / name).unlink(missing_ok=True)


def check_room(folder: Path, *, force: bool) -> None:
    """Raise if the folder holds a finished run and ``force`` is not given."""
    if (folder / SUMMARY).exists() and not force:
        raise OutputError(
            f"{folder} holds a finished run: give another folder, or force (--force) to replace it"
        )


def write_result(folder: Path, summary: dict[str, Any], seen: Events | None = None) -> Result:
    """Write all but the records of a finished run.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    result = Result(summary=summary, folder=folder)
    with saving(folder):
        if seen is not None:
            lines = b"".join(event.line() for event in seen.events)
            write_text(folder / EVENTS, lines.decode())
        write_timeseries(result)
        write_json(result.summary_path, summary)
    return result


def mark(result: Result, events: Events) -> Result:
    """Give a finished run other windows than it had, if it had any; write what changes by that.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    records, slo = result.measured(), result.asked.slo
    windows = describe_windows(events, records, slo, span_ns=result.span_ns)
    return write_result(result.folder, result.summary | {"windows": windows}, events)
