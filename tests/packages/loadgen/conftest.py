# SPDX-License-Identifier: Apache-2.0
"""A mock server and a profile that aims at it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen import Profile, Result, Timeouts, run
from loadgen.identity import identity
from loadgen.mock.server import serve
from loadgen.mock.settings import MockSettings
from loadgen.outcomes import Outcome
from loadgen.records import Record

NS = 1_000_000_000
QUICK: dict[str, Any] = {
    "model": "mock",
    "rate_per_s": 50.0,
    "duration_s": 0.4,
    "prompt_tokens": 8,
    "output_tokens": 6,
    "drain_s": 5.0,
    "timeouts": Timeouts(connect_s=5, first_byte_s=3, stall_s=2, total_s=15),
}


def make_record(
    index: int, *, at_s: float, ttft_ms: float | None, phase: str = "measured"
) -> Record:
    due = round(at_s * NS)
    success = ttft_ms is not None
    first = None if ttft_ms is None else due + round(ttft_ms * 1e6)
    return Record(
        index=index,
        request_id=identity(0, index).request_id,
        traceparent=identity(0, index).traceparent,
        phase=phase,
        scheduled_ns=due,
        sent_ns=due + 1_000_000,
        end_ns=first or due,
        first_token_ns=first,
        last_token_ns=first,
        outcome=Outcome.SUCCESS if success else Outcome.HTTP_5XX,
        status=200 if success else 503,
        error=None if success else "HTTP 503",
        prompt_tokens=8,
        output_tokens=10 if success else None,
        token_source="usage" if success else None,
        response_ttft_ms=ttft_ms,
        response_latency_ms=None if ttft_ms is None else ttft_ms * 2,
        service_ttft_ms=ttft_ms,
        service_latency_ms=None if ttft_ms is None else ttft_ms * 2,
        tpot_ms=None,
        max_gap_ms=None,
        replica=None,
    )


@pytest.fixture
def made() -> Callable[..., Record]:
    """Make a record by when it was due and its TTFT; ``None`` fails."""
    return make_record


@pytest.fixture
def quick() -> Callable[..., Profile]:
    """Make a short profile; keywords replace its fields."""

    def make(url: str = "http://127.0.0.1:8000", **changes: Any) -> Profile:
        return Profile(base_url=url, **{**QUICK, **changes})

    return make


@pytest.fixture
def with_mock() -> Callable[..., Any]:
    """Run a coroutine function against a mock server of the given settings."""

    def go(body: Callable[[str], Awaitable[Any]], **settings: Any) -> Any:
        async def main() -> Any:
            own = MockSettings(**{"ttft_ms": 5, "itl_ms": 2, **settings})
            async with serve(own, "127.0.0.1", 0) as url:
                return await body(url)

        return asyncio.run(main())

    return go


@pytest.fixture
def load(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> Callable[..., tuple[Result, list[dict[str, Any]]]]:
    """Run a quick load on a mock; return the result and the records by index."""

    def go(
        mock: dict[str, Any] | None = None, **changes: Any
    ) -> tuple[Result, list[dict[str, Any]]]:
        async def body(url: str) -> Result:
            return await run(quick(url, **changes), tmp_path / "out")

        result: Result = with_mock(body, **(mock or {}))
        lines = result.requests_path.read_text().splitlines()
        return result, sorted(map(json.loads, lines), key=lambda record: record["index"])

    return go
