# SPDX-License-Identifier: Apache-2.0
"""The mock's engine: a queue, a batch that slows down as it fills, and real CPU time a token."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loadgen.mock.metrics import Metrics
from loadgen.mock.prefix_cache import BLOCK_TOKENS, PrefixCache
from loadgen.mock.settings import MockSettings

_BURN_BLOCK = bytes(1 << 14)


@dataclass(slots=True)
class Generation:
    """One request in the engine.

    Parameters
    ----------
    prompt
        Its text, for the prefix cache.
    prompt_tokens, output_tokens
        Its lengths.
    factor
        How much longer than usual everything takes.
    """

    prompt: str
    prompt_tokens: int
    output_tokens: int
    factor: float = 1.0


class Engine:
    """Makes tokens at the set pace for as many requests as fit, first come first served."""

    def __init__(self, settings: MockSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._places = asyncio.Semaphore(settings.max_concurrency)
        self._running = 0
        self._kv_tokens = 0
        self._prefixes = PrefixCache(settings.kv_tokens // BLOCK_TOKENS)
        self._first_request: float | None = None
        # One thread, as an engine's core has: tokens of all requests share its CPU time.
        self._core = ThreadPoolExecutor(1, thread_name_prefix="engine-core")

    def close(self) -> None:
        """Stop the core's thread."""
        self._core.shutdown(cancel_futures=True)

    async def tokens(self, generation: Generation) -> AsyncGenerator[int, None]:
        """Yield the number of each token, from 1, when it is made.

        Closing the iterator early counts the request as aborted.
        """
        now = time.monotonic  # not the loop's clock: uvloop's has steps of a millisecond
        arrived = now()
        if self._first_request is None:
            self._first_request = arrived
        reason = "abort"
        try:
            async with self._place():
                admitted = now()
                self._metrics.queue_s.observe(admitted - arrived)
                self._metrics.prompt_tokens.inc(generation.prompt_tokens)
                # They are counted, and change nothing else: the pace is what was asked for.
                self._metrics.prefix_cache_queries.inc(generation.prompt_tokens)
                self._metrics.prefix_cache_hits.inc(self._prefixes.take(generation.prompt.split()))
                held = generation.prompt_tokens
                self._hold(held)
                try:
                    first = last = admitted
                    for number in range(1, generation.output_tokens + 1):
                        pace_ms = self._settings.ttft_ms if number == 1 else self._settings.itl_ms
                        await self._make_token(last, pace_ms * generation.factor)
                        previous, last = last, now()
                        if number == 1:
                            first = last
                            self._metrics.ttft_s.observe(first - arrived)
                        else:
                            self._metrics.itl_s.observe(last - previous)
                        self._metrics.generation_tokens.inc()
                        self._hold(1)
                        held += 1
                        yield number
                finally:
                    self._hold(-held)
                self._metrics.prefill_s.observe(first - admitted)
                self._metrics.decode_s.observe(last - first)
                self._metrics.e2e_s.observe(last - arrived)
                reason = "length"
        finally:
            self._metrics.finished[reason].inc()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a place in the batch and hold it."""
        self._metrics.waiting.inc()
        try:
            await self._places.acquire()
        finally:
            self._metrics.waiting.dec()
        self._running += 1
        self._metrics.running.inc()
        try:
            yield
        finally:
            self._running -= 1
            self._metrics.running.dec()
            self._places.release()

    async def _make_token(self, since: float, pace_ms: float) -> None:
        """Return when the next token is there: ``pace_ms`` after ``since``, or later if starved."""
        stretched_s = pace_ms / 1e3 * (1 + self._settings.slowdown * (self._running - 1))
        await asyncio.sleep(max(0.0, since + stretched_s - time.monotonic()))
        if self._settings.cpu_ms_per_token > 0:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._core, _burn, self._settings.cpu_ms_per_token / 1e3)
        await asyncio.sleep(self._paused_s(time.monotonic()))

    def _paused_s(self, now: float) -> float:
        """Return how long the pause still lasts."""
        pause = self._settings.pause
        if pause is None or self._first_request is None:
            return 0.0
        start = self._first_request + pause.start_s
        return max(0.0, start + pause.duration_s - now) if now >= start else 0.0

    def _hold(self, tokens: int) -> None:
        self._kv_tokens += tokens
        self._metrics.kv_cache_usage.set(min(1.0, self._kv_tokens / self._settings.kv_tokens))


def _burn(cpu_s: float) -> None:
    """Use that much CPU time of this thread; hashing lets go of the interpreter's lock."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        hashlib.sha256(_BURN_BLOCK)
