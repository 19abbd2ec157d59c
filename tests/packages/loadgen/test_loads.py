# SPDX-License-Identifier: Apache-2.0
"""Whole runs of each kind of load, in one process and in several."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from loadgen import Profile, TargetError, Timeouts, run
from loadgen.arrivals import Arrivals
from loadgen.mock.settings import FaultRule
from loadgen.schedule import make_schedule
from loadgen.workload import Bursts, ClosedLoop, Trace

NS = 1_000_000_000
Load = Callable[..., Any]


def check_schema(summary: dict[str, Any]) -> None:
    text = (files("loadgen") / "schemas" / "summary.json").read_text()
    Draft202012Validator(json.loads(text)).validate(summary)


def test_users_wait_for_their_answers(load: Load) -> None:
    result, records = load(
        {"ttft_ms": 60, "itl_ms": 1},
        rate_per_s=None,
        closed=ClosedLoop(users=3, think_s=0.02, spawn_per_s=100),
        duration_s=1.0,
        output_tokens=2,
    )
    check_schema(result.summary)
    assert {record["outcome"] for record in records} == {"success"}
    by_user: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        by_user.setdefault(record["index"] % 3, []).append(record)
    assert len(by_user) == 3
    for own in by_user.values():
        for earlier, later in pairwise(own):
            assert later["scheduled_ns"] - earlier["end_ns"] >= 0.02 * NS - 1e6
    requests = result.summary["requests"]
    assert requests["scheduled"] == requests["issued"] == len(records)
    assert len(records) <= 3 * 1.0 / 0.08 + 3  # as fast as the service lets them, and no faster


def test_users_stop_at_a_count_and_their_warmup_is_not_measured(load: Load) -> None:
    result, records = load(
        {"ttft_ms": 10, "itl_ms": 1},
        rate_per_s=None,
        closed=ClosedLoop(users=2, spawn_per_s=100),
        warmup_s=0.3,
        duration_s=None,
        requests=7,
        output_tokens=2,
    )
    phases = Counter(record["phase"] for record in records)
    assert phases["measured"] == 7
    assert phases["warmup"] >= 2
    assert result.summary["requests"]["scheduled"] == 7
    check_schema(result.summary)


@pytest.mark.parametrize("end", [{"duration_s": 0.3}, {"requests": 1}])
def test_a_stalled_user_is_censored_at_the_end(load: Load, end: dict[str, Any]) -> None:
    _, records = load(
        {"faults": (FaultRule.parse("hang@0"),)},
        rate_per_s=None,
        closed=ClosedLoop(users=1),
        drain_s=0.1,
        timeouts=Timeouts(),
        **{"duration_s": None, **end},
    )
    assert [record["outcome"] for record in records] == ["censored"]


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_send_one_schedule(
    load: Load, quick: Callable[..., Profile], tmp_path: Path, processes: int
) -> None:
    arrivals = tmp_path / "arrivals.jsonl"
    changes: dict[str, Any] = {
        "arrivals": Arrivals(distribution="poisson"),
        "duration_s": 1.0,
        "warmup_s": 0.2,
        "output_tokens": 2,
    }
    result, records = load({"arrivals": arrivals}, processes=processes, **changes)
    check_schema(result.summary)
    schedule = make_schedule(quick(**changes))
    assert result.summary["schedule"]["sha256"] == schedule.sha256
    assert [record["index"] for record in records] == list(range(len(schedule.offsets_ns)))
    assert {record["outcome"] for record in records} == {"success"}
    start_ns = records[0]["scheduled_ns"] - schedule.offsets_ns[0]
    assert [record["scheduled_ns"] - start_ns for record in records] == list(schedule.offsets_ns)
    seen = {json.loads(line)["request_id"] for line in arrivals.open()}
    assert seen == {record["request_id"] for record in records}
    assert result.summary["audit"]["processes"] == processes


def test_an_absent_service_is_noticed_before_any_process_is_started(
    quick: Callable[..., Profile], tmp_path: Path
) -> None:
    with pytest.raises(TargetError):
        asyncio.run(run(quick("http://127.0.0.1:9", processes=2), tmp_path / "out"))


def test_bursts_arrive_together(load: Load, tmp_path: Path) -> None:
    result, records = load(
        rate_per_s=None, bursts=Bursts(every_s=0.5, size=5), duration_s=1.0, output_tokens=2
    )
    times = Counter(record["scheduled_ns"] for record in records)
    assert sorted(times.values()) == [5, 5]
    assert result.summary["requests"]["success"] == 10


def test_a_recorded_load_is_played_with_its_lengths(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    rows = [
        {"timestamp": 100 * n, "input_length": 20 + n, "output_length": n + 2} for n in range(5)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, records = load(rate_per_s=None, duration_s=None, trace=Trace(path=path))
    assert [record["prompt_tokens"] for record in records] == [20, 21, 22, 23, 24]
    assert [record["output_tokens"] for record in records] == [2, 3, 4, 5, 6]
    assert records[-1]["scheduled_ns"] - records[0]["scheduled_ns"] == 0.4 * NS
    assert result.summary["schedule"]["duration_s"] == 0.5
    check_schema(result.summary)
