# SPDX-License-Identifier: Apache-2.0
"""Whole runs against the mock: schedule kept, every request in its class, nothing lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from loadgen import OutputError, Profile, ProfileError, TargetError, Timeouts, run
from loadgen.mock.server import serve
from loadgen.mock.settings import FaultRule, MockSettings, Pause
from loadgen.schedule import make_schedule

pytestmark = pytest.mark.slow

NS = 1_000_000_000
Load = Callable[..., Any]


def schema(name: str) -> Draft202012Validator:
    text = (files("loadgen") / "schemas" / f"{name}.json").read_text()
    return Draft202012Validator(json.loads(text))


def test_a_healthy_run_is_complete_and_fits_its_schemas(load: Load) -> None:
    result, records = load({"replica": "llm-0"}, warmup_s=0.2)
    assert [record["index"] for record in records] == list(range(30))
    assert [record["phase"] for record in records] == ["warmup"] * 10 + ["measured"] * 20
    assert {record["outcome"] for record in records} == {"success"}
    for record in records:
        schema("requests").validate(record)
        assert record["scheduled_ns"] <= record["sent_ns"] < record["first_token_ns"]
        assert record["first_token_ns"] < record["last_token_ns"] <= record["end_ns"]
        assert record["response_ttft_ms"] >= record["service_ttft_ms"] >= 5
        assert (record["prompt_tokens"], record["output_tokens"]) == (8, 6)
    schema("summary").validate(result.summary)
    assert json.loads(result.summary_path.read_text()) == result.summary
    assert result.summary["requests"]["scheduled"] == 20
    assert result.summary["requests"]["outcomes"] == {"success": 20}
    assert result.summary["slo"]["attainment"] == 1
    assert result.summary["token_sources"] == {"usage": 20}
    assert result.summary["replicas"] == {"llm-0": 20}
    assert result.summary["interrupted"] is False


def test_a_stalled_server_does_not_change_when_requests_leave(
    load: Load, quick: Callable[..., Profile], tmp_path: Path
) -> None:
    arrivals = tmp_path / "arrivals.jsonl"
    result, records = load(
        {"arrivals": arrivals, "pause": Pause(0.4, 2.0)},
        rate_per_s=40,
        duration_s=3.0,
        output_tokens=2,
        drain_s=5,
        timeouts=Timeouts(),
    )
    seen = {a["request_id"]: a["arrival_ns"] for a in map(json.loads, arrivals.open())}
    assert len(seen) == 120
    late_ms = sorted((seen[r["request_id"]] - r["scheduled_ns"]) / 1e6 for r in records)
    assert late_ms[0] >= 0
    assert late_ms[len(late_ms) // 2] < 10  # on time, and by far not the 2000 ms of the stall
    assert late_ms[-1] < 1000
    offsets = [record["scheduled_ns"] - records[0]["scheduled_ns"] for record in records]
    assert offsets == list(make_schedule(quick(rate_per_s=40, duration_s=3.0)).offsets_ns)
    # Requests due in the stall wait for its end: 1 s in the mean over 2 of 3 s.
    mean_ms = sum(record["response_ttft_ms"] for record in records) / len(records)
    assert mean_ms == pytest.approx(2 / 3 * 1000, abs=150)
    assert result.summary["slo"]["first_breach"] is not None


FAULTS = {
    "404": "http_4xx",
    "429": "http_429",
    "503": "http_5xx",
    "reset": "reset_before_first_byte",
    "reset-midstream": "reset_midstream",
    "hang": "first_byte_timeout",
    "stall": "stall_timeout",
    "truncate": "truncated",
    "error-frame": "inband_error",
    "malformed": "malformed",
    "empty": "empty",
    "slow": "success",
}


def test_each_fault_is_in_its_class_and_none_ends_the_run(load: Load, tmp_path: Path) -> None:
    rules = tuple(
        FaultRule.parse(f"{fault}@{2 * place}-{2 * place + 1}")
        for place, fault in enumerate(FAULTS)
    )
    log = tmp_path / "arrivals.jsonl"
    result, records = load({"faults": rules, "arrivals": log}, duration_s=0.6)
    # By what the mock played: on a busy machine, requests 20 ms apart may overtake each other.
    played = {each["request_id"]: each["fault"] for each in map(json.loads, log.open())}
    for record in records:
        fault = played[record["request_id"]]
        assert record["outcome"] == FAULTS.get(fault, "success"), (fault, record["error"])
        schema("requests").validate(record)
        assert (record["error"] is None) == (record["outcome"] == "success")
        assert (record["response_latency_ms"] is None) == (record["outcome"] != "success")
    truncated = next(record for record in records if record["outcome"] == "truncated")
    assert (truncated["output_tokens"], truncated["token_source"]) == (3, "chunks")
    assert truncated["status"] == 200
    summary = result.summary
    assert summary["requests"]["success"] == 8
    assert summary["requests"]["failed"] == 22
    assert summary["with_failures"]["response_latency_ms"]["p50"] is None
    assert summary["successes"]["response_latency_ms"]["p50"] is not None


def test_what_is_in_flight_at_the_end_is_censored_not_forgotten(load: Load) -> None:
    rules = (FaultRule.parse("stall@15-19"),)
    result, records = load({"faults": rules}, drain_s=2, timeouts=Timeouts())
    outcomes = [record["outcome"] for record in records]
    assert sorted(outcomes) == ["censored"] * 5 + ["success"] * 15
    censored = records[outcomes.index("censored")]
    assert censored["first_token_ns"] is not None  # what came of it is kept
    assert result.summary["requests"]["outcomes"]["censored"] == 5


def test_a_stopped_run_keeps_its_records_and_counts_the_rest_as_not_met(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    async def body(url: str) -> Any:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.7, stop.set)
        profile = quick(url, rate_per_s=20, duration_s=60, output_tokens=1000)
        return await run(profile, tmp_path, stop=stop)

    result = with_mock(body, itl_ms=5)
    lines = result.requests_path.read_text().splitlines()
    outcomes = {json.loads(line)["outcome"] for line in lines}
    assert outcomes == {"cancelled"}
    requests = result.summary["requests"]
    assert 1 <= requests["issued"] == len(lines) < 600
    assert requests["scheduled"] == 1200
    assert result.summary["interrupted"] is True
    assert result.summary["slo"]["attainment"] == 0


def test_a_server_that_goes_away_is_refused_not_fatal(
    quick: Callable[..., Profile], tmp_path: Path
) -> None:
    async def main() -> Any:
        async with serve(MockSettings(ttft_ms=1, itl_ms=1), "127.0.0.1", 0) as url:
            running = asyncio.create_task(run(quick(url, duration_s=3, rate_per_s=20), tmp_path))
            await asyncio.sleep(2)
        return await running

    outcomes = asyncio.run(main()).summary["requests"]["outcomes"]
    assert outcomes["success"] >= 1
    assert outcomes["refused"] >= 1
    assert sum(outcomes.values()) == 60


def test_an_absent_service_is_one_clear_error_and_leaves_no_file(
    quick: Callable[..., Profile], tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match=r"can't reach http://127\.0\.0\.1:9/v1/models.*curl"):
        asyncio.run(run(quick("http://127.0.0.1:9"), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_served_is_named_with_those_that_are(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    async def body(url: str) -> None:
        await run(quick(url, model="other"), tmp_path)

    with pytest.raises(TargetError, match="doesn't serve 'other'; it serves 'mock'"):
        with_mock(body)


def test_a_finished_run_is_replaced_only_by_force(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    async def body(url: str) -> tuple[str, str]:
        profile = quick(url, duration_s=0.1)
        first = await run(profile, tmp_path)
        with pytest.raises(OutputError, match="holds a finished run"):
            await run(profile, tmp_path)
        second = await run(profile, tmp_path, force=True)
        return first.summary["start"], second.summary["start"]

    first, second = with_mock(body)
    assert first < second


def test_the_api_key_is_sent_and_recorded_nowhere(
    quick: Callable[..., Profile], tmp_path: Path
) -> None:
    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "mock"}]})

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401, text=f"bad key: {request.headers['authorization']}")

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", refuse)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        await run(quick(f"http://{host}:{port}", duration_s=0.1), tmp_path, api_key="s3cret-value")
        await runner.cleanup()

    asyncio.run(main())
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "bad key: Bearer ***" in written
    assert "s3cret-value" not in written


def test_a_key_that_is_no_header_is_refused(quick: Callable[..., Profile], tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="API key"):
        asyncio.run(run(quick(), tmp_path, api_key="two\nlines"))


def test_a_full_disk_ends_the_run_with_one_error(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "requests.jsonl").symlink_to("/dev/full")

    async def body(url: str) -> None:
        await run(quick(url, duration_s=3), tmp_path)

    with pytest.raises(OutputError, match=r"can't write .*requests\.jsonl: No space left"):
        with_mock(body)
