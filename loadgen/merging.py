# SPDX-License-Identifier: Apache-2.0
"""One run out of the shards that several machines made of it, with the figures of the whole.

The figures are made again from all records, as those of a run by one machine are. Only what no
record holds is carried over: what each client saw of itself (``shard.json``).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from loadgen.audit import Audit
from loadgen.errors import OutputError, saving
from loadgen.event_feed import read_events
from loadgen.events import Events
from loadgen.records import Record, RecordWriter, read_records
from loadgen.result import EVENTS, REQUESTS, Result
from loadgen.summary import summarise
from loadgen.write import make_room, write_result
from rcalab_common.files import write_json
from rcalab_common.times import parse_utc

AUDIT = "shard.json"


def write_audit(folder: Path, audit: Audit) -> None:
    """Keep what a shard's client saw of itself, sample by sample."""
    samples = [round(lag_ms, 3) for lag_ms in audit.loop_lag_ms]
    with saving(folder / AUDIT):
        write_json(folder / AUDIT, asdict(audit) | {"loop_lag_ms": samples})


def merge(folders: Sequence[Path], out_dir: Path, *, force: bool = False) -> Result:
    """Put the shards of one load together.

    Parameters
    ----------
    folders
        Of all the shards, in any order.
    out_dir
        Folder of the whole run; made where it is missing.
    force
        Replace a finished run in ``out_dir``.

    Raises
    ------
    OutputError
        If a shard is missing, or they are not of one load; the message says which.
    """
    if out_dir.resolve() in {folder.resolve() for folder in folders}:
        raise OutputError(f"{out_dir} holds a shard: give the whole run another folder (--out)")
    results = [Result.load(folder) for folder in folders]
    first = _check_one_load(results)
    audit = _audit(results[0])
    for other in results[1:]:
        audit = audit.join(_audit(other))
    make_room(out_dir, force=force)
    path = out_dir / REQUESTS
    with RecordWriter(path) as writer:
        streams = (_by_end(result) for result in results)
        for record in heapq.merge(*streams, key=lambda record: (record.end_ns, record.index)):
            writer.write(record)
    events = _events(results)
    calibrations = [result.summary["calibration"] for result in results]
    summary = summarise(
        read_records(path),
        asked=results[0].asked,
        start_ns=parse_utc(first["start"]),
        end_ns=max(parse_utc(result.summary["end"]) for result in results),
        audit=audit,
        interrupted=any(result.summary["interrupted"] for result in results),
        # Each machine has its own clocks: there is no one offset of them all.
        clock=None,
        calibration=calibrations[0],
        events=events,
    )
    return write_result(out_dir, summary, events)


def _by_end(result: Result) -> list[Record]:
    return sorted(result.records(), key=lambda record: (record.end_ns, record.index))


def _check_one_load(results: Sequence[Result]) -> dict[str, Any]:
    """Return the first shard's summary, if all shards are there and of one load."""
    shards: dict[int, Path] = {}
    first = results[0].summary
    for result in results:
        summary, folder = result.summary, result.folder
        if summary["shard"] is None:
            raise OutputError(f"{folder} holds a whole run, not a shard: there is nothing to merge")
        for what, mine, other in (
            ("number of shards", summary["shard"]["count"], first["shard"]["count"]),
            ("schedule", summary["schedule"]["sha256"], first["schedule"]["sha256"]),
            ("start", summary["start"], first["start"]),
            ("profile", summary["profile"], first["profile"]),
        ):
            # A closed loop has what it sent as its schedule; its hash is the profile's.
            if mine != other:
                raise OutputError(
                    f"{folder} and {results[0].folder} are of different loads: another {what}"
                )
        index = summary["shard"]["index"]
        if index in shards:
            raise OutputError(f"{folder} and {shards[index]} are both shard {index}")
        shards[index] = folder
    missing = sorted(set(range(first["shard"]["count"])) - shards.keys())
    if missing:
        raise OutputError(
            f"shard {', '.join(map(str, missing))} of {first['shard']['count']} is missing: the "
            "figures of the others alone would be those of another load"
        )
    return first


def _audit(result: Result) -> Audit:
    path = result.folder / AUDIT
    try:
        return Audit(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"can't read what the shard saw of itself: {path}: {error}") from error


def _events(results: Sequence[Result]) -> Events | None:
    """Return the events of the shard that saw most of them: all were to follow one source."""
    followed = [result for result in results if result.summary["windows"] is not None]
    if not followed:
        return None
    seen = [read_events(result.folder / EVENTS) for result in followed]
    best = max(range(len(seen)), key=lambda place: len(seen[place].events))
    seen[best].source = followed[best].summary["windows"]["source"]
    return seen[best]
