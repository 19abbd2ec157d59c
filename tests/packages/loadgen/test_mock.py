# SPDX-License-Identifier: Apache-2.0
"""The mock plays vLLM: its API, its metrics, its queue, and its hunger for CPU."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

CHAT = {"model": "mock", "messages": [{"role": "user", "content": "one two three"}]}
WithMock = Callable[..., Any]


async def post(url: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=body or CHAT, headers=headers) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


async def metrics(url: str) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("finished_reason", "length") == "length"
        and sample.labels.get("model_name", "mock") == "mock"
        and sample.labels["engine"] == "0"
    }


def test_a_whole_answer_has_the_asked_length_and_its_usage(with_mock: WithMock) -> None:
    status, answer, headers = with_mock(
        lambda url: post(url, CHAT | {"max_tokens": 4}), replica="llm-1"
    )
    assert status == 200
    assert answer["choices"][0]["message"]["content"].split() == ["t1", "t2", "t3", "t4"]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert headers["x-replica"] == "llm-1"


def test_a_message_may_come_in_parts(with_mock: WithMock) -> None:
    parts = [{"type": "text", "text": "one two"}, {"type": "text", "text": "three"}]
    asked = CHAT | {"messages": [{"role": "user", "content": parts}]}
    status, answer, _ = with_mock(lambda url: post(url, asked))
    assert (status, answer["usage"]["prompt_tokens"]) == (200, 3)


@pytest.mark.parametrize(
    "body",
    [
        [],
        CHAT | {"model": "other"},
        CHAT | {"max_tokens": 0},
        CHAT | {"messages": []},
        CHAT | {"messages": [{"content": 1}]},
        CHAT | {"messages": [{"content": [{"type": "image_url", "image_url": {}}]}]},
        CHAT | {"messages": [{"content": ["text"]}]},
    ],
)
def test_bad_requests_get_400_with_a_reason(with_mock: WithMock, body: Any) -> None:
    status, answer, _ = with_mock(lambda url: post(url, body or [1]))
    assert status == 400
    assert answer["error"]["message"]


def test_a_header_asks_for_a_fault(with_mock: WithMock) -> None:
    status, answer, _ = with_mock(lambda url: post(url, **{"x-mock-fault": "503"}))
    assert (status, answer["error"]["code"]) == (503, 503)
    assert with_mock(lambda url: post(url, **{"x-mock-fault": "flood"}))[0] == 400


@pytest.mark.parametrize("prefix", ["vllm:", "ray_vllm_"])
def test_the_metrics_are_vllms_and_add_up(with_mock: WithMock, prefix: str) -> None:
    async def body(url: str) -> tuple[dict[str, float], dict[str, float]]:
        before = await metrics(url)
        await asyncio.gather(*(post(url, CHAT | {"max_tokens": 5}) for _ in range(3)))
        return before, await metrics(url)

    before, after = with_mock(body, metrics_prefix=prefix)
    assert before[f"{prefix}request_success_total"] == 0  # there before the first request
    histograms = {
        "time_to_first_token_seconds": 3,
        "inter_token_latency_seconds": 12,
        "e2e_request_latency_seconds": 3,
        "request_queue_time_seconds": 3,
        "request_prefill_time_seconds": 3,
        "request_decode_time_seconds": 3,
    }
    for name, count in histograms.items():
        assert after[f"{prefix}{name}_count"] == count
    assert after[f"{prefix}prompt_tokens_total"] == 9
    assert after[f"{prefix}prefix_cache_queries_total"] == 9
    assert after[f"{prefix}generation_tokens_total"] == 15
    assert after[f"{prefix}request_success_total"] == 3
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert after[prefix + name] == 0
    assert after[f"{prefix}time_to_first_token_seconds_sum"] >= 0.015


def test_a_prompt_that_begins_as_an_earlier_one_hits_the_prefix_cache(with_mock: WithMock) -> None:
    def asking(*parts: str) -> dict[str, Any]:
        return CHAT | {"messages": [{"role": "user", "content": " ".join(parts)}]}

    async def hits_after(url: str, *prompts: dict[str, Any]) -> float:
        before = await metrics(url)
        for prompt in prompts:
            await post(url, prompt)
        after = await metrics(url)
        name = "vllm:prefix_cache_hits_total"
        return after[name] - before[name]

    shared = " ".join(f"w{number}" for number in range(40))

    async def body(url: str) -> list[float]:
        others = [asking(*(f"o{number}-{word}" for word in range(64))) for number in range(4)]
        return [
            await hits_after(url, asking(shared, "one"), asking(shared, "two")),
            await hits_after(url, asking("other", shared)),
            # They push the shared prefix out of a cache of sixteen blocks.
            await hits_after(url, *others, asking(shared, "three")),
        ]

    # Whole blocks of 16 tokens count, and only from the prompt's start.
    assert with_mock(body, kv_tokens=256) == [32, 0, 0]


def test_the_size_of_the_kv_cache_is_told(with_mock: WithMock) -> None:
    async def body(url: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
            return await answer.text()

    told = with_mock(body, kv_tokens=4096)

    line = 'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="256"} 1.0'
    assert line in told.splitlines()


def test_what_does_not_fit_waits_in_line(with_mock: WithMock) -> None:
    async def body(url: str) -> tuple[list[int], dict[str, float]]:
        order: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(number * 0.05)
            await post(url, CHAT | {"max_tokens": 2})
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(one(number))
            await asyncio.sleep(0.3)
            seen = await metrics(url)
        return order, seen

    order, seen = with_mock(body, ttft_ms=500, max_concurrency=1)
    assert order == [0, 1, 2]
    assert seen["vllm:num_requests_running"] == 1
    assert seen["vllm:num_requests_waiting"] == 2
    assert seen["vllm:kv_cache_usage_perc"] > 0


def test_a_full_batch_is_slower(with_mock: WithMock) -> None:
    async def body(url: str) -> float:
        start = time.monotonic()
        await asyncio.gather(*(post(url, CHAT | {"max_tokens": 5}) for _ in range(4)))
        return time.monotonic() - start

    # Five tokens of 10 ms, four times as long with three others beside each.
    assert with_mock(body, ttft_ms=10, itl_ms=10, slowdown=1.0) > 0.15


def test_a_client_that_leaves_aborts_its_request(with_mock: WithMock) -> None:
    async def body(url: str) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await post(url, CHAT | {"max_tokens": 1000})
        for _ in range(50):
            await asyncio.sleep(0.02)
            if (await metrics(url))["vllm:num_requests_running"] == 0:
                return 0
        return 1

    assert with_mock(body) == 0


def test_tokens_burn_cpu_time(with_mock: WithMock) -> None:
    async def body(url: str) -> float:
        start = time.process_time()
        await post(url, CHAT | {"max_tokens": 20})
        return time.process_time() - start

    assert with_mock(body, cpu_ms_per_token=10) >= 0.2
    assert with_mock(body, cpu_ms_per_token=0) < 0.1


def test_every_arrival_is_logged(with_mock: WithMock, tmp_path: Path) -> None:
    log = tmp_path / "arrivals.jsonl"

    async def body(url: str) -> None:
        await post(url, **{"x-request-id": "abc"})
        await post(url, **{"x-mock-fault": "429"})

    with_mock(body, arrivals=log)
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["index"], first["request_id"], first["fault"]) == (0, "abc", None)
    assert (second["index"], second["fault"]) == (1, "429")
    assert 0 < second["arrival_ns"] - first["arrival_ns"] < 5_000_000_000
