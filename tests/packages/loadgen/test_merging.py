# SPDX-License-Identifier: Apache-2.0
"""Shards of one load, and the run that they make together."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen import (
    Arrivals,
    ClosedLoop,
    OutputError,
    Profile,
    ProfileError,
    Result,
    Shard,
    Sharing,
    merge,
    run,
)
from loadgen.mock.settings import FaultRule
from loadgen.schedule import make_schedule

pytestmark = pytest.mark.slow

# What each machine's client saw of itself, and its clocks: no figures of the service.
OF_THE_CLIENT = ("audit", "clock", "end")
Quick = Callable[..., Profile]


@pytest.fixture
def sharded(quick: Quick, with_mock: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Run a load in so many shards at once, on one mock; return their results."""

    def go(count: int, *, mock: dict[str, Any] | None = None, **changes: Any) -> list[Result]:
        async def body(url: str) -> list[Result]:
            start_ns = time.time_ns() + 2_000_000_000
            profile = quick(url, **{"arrivals": Arrivals(distribution="poisson"), **changes})
            return await asyncio.gather(
                *(
                    run(
                        profile,
                        tmp_path / str(index),
                        sharing=Sharing(shard=Shard(index, count), start_ns=start_ns),
                    )
                    for index in range(count)
                )
            )

        results: list[Result] = with_mock(body, **(mock or {}))
        return results

    return go


def test_shards_send_each_request_of_the_one_schedule_once(
    sharded: Callable[..., Any], quick: Quick, tmp_path: Path
) -> None:
    rules = (FaultRule.parse("503@3-5"),)
    results = sharded(3, mock={"faults": rules}, warmup_s=0.2, duration_s=1)
    whole = merge([result.folder for result in results], tmp_path / "whole")
    profile = quick(arrivals=Arrivals(distribution="poisson"), warmup_s=0.2, duration_s=1)
    schedule = make_schedule(profile)
    records = sorted(whole.records(), key=lambda record: record.index)
    assert [record.index for record in records] == list(range(len(schedule.offsets_ns)))
    assert whole.summary["schedule"]["sha256"] == schedule.sha256
    assert {result.summary["schedule"]["sha256"] for result in results} == {schedule.sha256}
    offsets = [record.scheduled_ns - records[0].scheduled_ns for record in records]
    assert offsets == [offset - schedule.offsets_ns[0] for offset in schedule.offsets_ns]
    assert whole.summary["requests"]["scheduled"] == schedule.measured
    assert sum(each.summary["requests"]["scheduled"] for each in results) == schedule.measured
    assert sum(not record.success for record in records) == 3
    assert whole.summary["shard"] is None
    assert [each.summary["shard"] for each in results] == [
        {"index": index, "count": 3} for index in range(3)
    ]


def test_a_merged_run_has_the_figures_of_the_single_run(
    quick: Quick, with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    """One run, its records dealt out to two shards as two machines would have written them."""
    events = tmp_path / "events.jsonl"

    async def body(url: str) -> list[Result]:
        start = {"time_ns": time.time_ns() + 700_000_000, "event": "window_start", "name": "cpu"}
        events.write_text(json.dumps(start) + "\n")
        profile = quick(url, rate_per_s=60, duration_s=1)
        return [
            await run(profile, tmp_path / "one", events=str(events)),
            *[
                await run(
                    profile, tmp_path / name, events=str(events), sharing=Sharing(shard=shard)
                )
                for name, shard in (("a", Shard(0, 2)), ("b", Shard(1, 2)))
            ],
        ]

    rules = (FaultRule.parse("503@10-14"), FaultRule.parse("truncate@20-22"))
    one, *shards = with_mock(body, faults=rules)
    lines = one.requests_path.read_text().splitlines(keepends=True)
    for index, shard in enumerate(shards):
        mine = [line for line in lines if json.loads(line)["index"] % 2 == index]
        shard.requests_path.write_text("".join(mine))
        shard.summary.update(start=one.summary["start"], end=one.summary["end"])
        shard.summary_path.write_text(json.dumps(shard.summary))
    whole = merge([shard.folder for shard in reversed(shards)], tmp_path / "whole")
    assert whole.summary["requests"]["failed"] == 8
    assert whole.summary["windows"]["marked"][0]["during"]["due"] > 0
    for name in one.summary.keys() - set(OF_THE_CLIENT):
        assert whole.summary[name] == one.summary[name], name
    assert whole.summary["audit"]["schedule_lag_ms"] == one.summary["audit"]["schedule_lag_ms"]
    same = (folder / "timeseries.csv" for folder in (one.folder, whole.folder))
    assert len({path.read_text() for path in same}) == 1


def test_users_of_a_closed_loop_are_shared_out_too(
    sharded: Callable[..., Any], tmp_path: Path
) -> None:
    closed = ClosedLoop(users=5, spawn_per_s=100)
    results = sharded(2, arrivals=Arrivals(), rate_per_s=None, closed=closed, duration_s=1)
    whole = merge([result.folder for result in results], tmp_path / "whole")
    users = [{record.index % 5 for record in result.records()} for result in results]
    assert users == [{0, 2, 4}, {1, 3}]
    assert whole.summary["requests"]["scheduled"] == len(whole.measured())


def test_shards_that_make_no_whole_are_refused(
    sharded: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    a, b = (result.folder for result in sharded(2))
    with pytest.raises(OutputError, match="shard 1 of 2 is missing"):
        merge([a], tmp_path / "whole")
    with pytest.raises(OutputError, match="both shard 0"):
        merge([a, a, b], tmp_path / "whole")
    with pytest.raises(OutputError, match="holds a shard"):
        merge([a, b], a)
    with pytest.raises(OutputError, match="no finished run"):
        merge([a, tmp_path / "none"], tmp_path / "whole")
    one, _ = load()
    with pytest.raises(OutputError, match="holds a whole run"):
        merge([a, one.folder], tmp_path / "whole")
    other = json.loads((b / "summary.json").read_text())
    other["schedule"]["sha256"] = "0" * 64
    (b / "summary.json").write_text(json.dumps(other))
    with pytest.raises(OutputError, match="different loads: another schedule"):
        merge([a, b], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_a_start_that_has_gone_by_is_refused(
    quick: Quick, with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    async def body(url: str) -> None:
        late = Sharing(shard=Shard(0, 2), start_ns=time.time_ns() - 1)
        await run(quick(url), tmp_path, sharing=late)

    with pytest.raises(ProfileError, match="before this machine was ready"):
        with_mock(body)


@pytest.mark.parametrize("text", ["2/2", "0", "a/b", "-1/2", "0/0", "0/1001"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match=r"shard"):
        Shard.parse(text)


def test_machines_and_their_processes_share_a_schedule_without_a_gap() -> None:
    parts = [Shard(i, 3).part(process, 2) for i in range(3) for process in range(2)]
    for since in (0, 7):
        found = sorted(index for part in parts for index in part.of(100, since))
        assert found == list(range(since, 100))
