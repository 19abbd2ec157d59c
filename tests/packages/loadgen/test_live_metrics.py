# SPDX-License-Identifier: Apache-2.0
"""Live figures, as Prometheus scrapes them while a load runs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadgen import OutputError, Profile, run
from loadgen.live_metrics import live_metrics
from loadgen.mock.settings import FaultRule
from loadgen.progress import PlainProgress

pytestmark = pytest.mark.slow


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by the name of a sample and its outcome, window or token type."""
    telling = ("outcome", "window", "gen_ai_token_type")
    return {
        (sample.name, next((sample.labels[n] for n in telling if n in sample.labels), "")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


async def scrape(url: str) -> dict[tuple[str, str], float]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return samples(await response.text())


@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_sent_and_how_it_ended_can_be_scraped(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path, processes: int
) -> None:
    async def body(url: str) -> dict[tuple[str, str], float]:
        profile = quick(url, processes=processes)
        inner = PlainProgress(lambda _: None)
        with live_metrics(inner, profile, host="127.0.0.1", port=0) as (progress, where):
            progress.mark(["cpu", "net"])
            progress.mark(["net"])
            await run(profile, tmp_path, progress=progress)
            return await scrape(where)

    found = with_mock(body, faults=(FaultRule.parse("503@0-3"),))
    assert found["loadgen_requests_sent_total", ""] == 20
    assert found["loadgen_requests_ended_total", "success"] == 16
    assert found["loadgen_requests_ended_total", "http_5xx"] == 4
    assert found["loadgen_requests_ended_total", "truncated"] == 0
    assert found["loadgen_requests_in_flight", ""] == 0
    assert found["loadgen_slo_met_total", ""] == 16
    for name in (
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "gen_ai_client_operation_duration_seconds",
        "loadgen_response_latency_seconds",
        "loadgen_time_per_output_token_seconds",
    ):
        assert found[f"{name}_count", ""] == 16, name
    assert found["gen_ai_client_token_usage_sum", "output"] == 16 * 6
    assert found["gen_ai_client_token_usage_sum", "input"] == 16 * 8
    assert (found["loadgen_window_open", "cpu"], found["loadgen_window_open", "net"]) == (0, 1)


def test_the_port_is_let_go_of_and_a_taken_one_is_one_error(
    quick: Callable[..., Profile],
) -> None:
    inner = PlainProgress(lambda _: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(OutputError, match=rf"can't serve metrics on 127\.0\.0\.1:{port}"),
            live_metrics(inner, quick(), host="127.0.0.1", port=port),
        ):
            pass
    with live_metrics(inner, quick(), host="127.0.0.1", port=0) as (_, url):
        port = int(url.rpartition(":")[2].removesuffix("/metrics"))
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)) != 0
