# SPDX-License-Identifier: Apache-2.0
"""The least that a Python client can do: send on time, note the first byte, parse nothing.

It prints its figures as JSON. Arguments: URL, requests per second, seconds, tokens of an answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp
import uvloop

HEADERS = {"content-type": "application/json"}


async def main(url: str, rate: int, seconds: int, tokens: int) -> dict[str, float]:
    """Send everything, wait for the answers, return the figures."""
    message = {"role": "user", "content": "word " * 32}
    ask = {"model": "mock", "messages": [message], "max_tokens": tokens, "stream": True}
    body = json.dumps(ask).encode()
    lags: list[float] = []
    ttfts: list[float] = []

    async def one(session: aiohttp.ClientSession, due: float) -> None:
        sent = time.monotonic()
        lags.append(1e3 * (sent - due))
        async with session.post(f"{url}/v1/chat/completions", data=body, headers=HEADERS) as answer:
            seen = False
            async for chunk in answer.content.iter_any():
                # The role's frame has an empty content: the first other one is the first token.
                if not seen and chunk.count(b'"content":"') > chunk.count(b'"content":""'):
                    ttfts.append(1e3 * (time.monotonic() - sent))
                    seen = True

    cpu = time.process_time()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        start = time.monotonic() + 0.2
        for number in range(rate * seconds):
            due = start + number / rate
            while (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(session, due))
    lags.sort()
    return {
        "sent": len(lags),
        "lag_p50_ms": lags[len(lags) // 2],
        "lag_p99_ms": lags[int(0.99 * len(lags))],
        "ttft_mean_ms": sum(ttfts) / len(ttfts),
        "cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        url, *numbers = sys.argv[1:]
        sys.stdout.write(json.dumps(runner.run(main(url, *map(int, numbers)))))
