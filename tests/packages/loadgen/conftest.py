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
from loadgen.mock.server import serve
from loadgen.mock.settings import MockSettings

QUICK: dict[str, Any] = {
    "model": "mock",
    "rate_per_s": 50.0,
    "duration_s": 0.4,
    "prompt_tokens": 8,
    "output_tokens": 6,
    "drain_s": 5.0,
    "timeouts": Timeouts(connect_s=5, first_byte_s=3, stall_s=2, total_s=15),
}


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
