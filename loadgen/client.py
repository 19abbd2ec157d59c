# SPDX-License-Identifier: Apache-2.0
"""One request: send it, collect the answer's pieces with their times, say how it ended."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
from aiohttp.http import HttpProcessingError

from loadgen.identity import Identity
from loadgen.outcomes import Outcome
from loadgen.profile import Profile, Timeouts
from loadgen.provider import Provider, Reading
from loadgen.records import Record

REPLICA_HEADERS = ("x-replica", "x-served-by", "x-pod-name", "x-backend", "x-upstream-addr")
"""Response headers that name the replica, the first one found counts."""

MAX_BODY_BYTES = 16 << 20
"""Longest answer that is kept; a longer one is malformed, so that no server eats our memory."""

_OWN_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS})
_ERROR_CHARS = 500
# Cut only after a key was struck out, so that no half of one is left.
_ERROR_BYTES = 1 << 16
_TOO_LONG = (Outcome.MALFORMED, f"the answer is longer than {MAX_BODY_BYTES} bytes")
# Below the 5 s after which uvicorn closes an idle connection: a request sent into that moment would
# fail through no fault of the service.
_KEEPALIVE_S = 3.0


class Clock:
    """UTC nanoseconds that never step: the wall clock once, the monotonic clock from then on.

    Parameters
    ----------
    offset_ns
        Wall clock less monotonic clock, from another process of the same run; else it is taken now.
    """

    def __init__(self, offset_ns: int | None = None) -> None:
        self.offset_ns = time.time_ns() - time.monotonic_ns() if offset_ns is None else offset_ns

    def now_ns(self) -> int:
        """Return the time."""
        return time.monotonic_ns() + self.offset_ns

    def stepped_ns(self) -> int:
        """Return how far the wall clock has gone away from this one."""
        return time.time_ns() - self.now_ns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send, made before it is due."""

    index: int
    phase: str
    scheduled_ns: int
    identity: Identity
    body: bytes


@dataclass(slots=True)
class _Exchange:
    """What has been seen of an answer so far."""

    sent_ns: int
    status: int | None = None
    replica: str | None = None
    chunks: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0
    failure: tuple[Outcome, str] | None = None


class _Patience:
    """Ends an exchange that is silent for too long.

    It looks when the silence could be over and not at each piece: a timer that is set anew for
    each of them costs more than taking the piece.

    Parameters
    ----------
    waits
        Gives ``first_byte_s`` and ``stall_s``.
    clock
        The one that the pieces are timed by.
    exchange
        What is watched.
    """

    def __init__(self, waits: Timeouts, clock: Clock, exchange: _Exchange) -> None:
        self._waits, self._clock, self._exchange = waits, clock, exchange
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._limit: asyncio.Timeout | None = None
        self.lost = False

    def watch(self, limit: asyncio.Timeout) -> None:
        """Begin; ``limit`` is made to expire."""
        self._limit = limit
        self._look()

    def rest(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        chunks, waits = self._exchange.chunks, self._waits
        since_ns = chunks[-1][0] if chunks else self._exchange.sent_ns
        wait_s = waits.stall_s if chunks else waits.first_byte_s
        left_s = wait_s - (self._clock.now_ns() - since_ns) / 1e9
        if left_s > 0:
            self._handle = self._loop.call_later(left_s, self._look)
        elif self._limit is not None and not self._limit.expired():
            self.lost = True
            self._limit.reschedule(self._loop.time())


@dataclass(slots=True)
class Client:
    """Sends requests over one session and turns each into a record; no answer ends a run.

    Parameters
    ----------
    session
        Made by :func:`open_session`.
    profile, provider, clock
        Of the run.
    secret
        The API key, if any: it is struck out of error texts.
    stopping
        Tells whether somebody ended the run; decides between ``cancelled`` and ``censored``.
    read_after_s
        How long an answer lies before it is read. With constant gaps it ends when other answers'
        pieces come and the next request is due; reading it, the longest work of all, can wait.
    """

    session: aiohttp.ClientSession
    profile: Profile
    provider: Provider
    clock: Clock
    secret: str | None
    stopping: Callable[[], bool]
    read_after_s: float = 0.0
    own_errors: int = 0
    url: str = field(init=False)

    def __post_init__(self) -> None:
        profile = self.profile
        self.url = profile.base_url + self.provider.path(profile.model, profile.api)

    async def perform(self, request: Request) -> Record:
        """Send one request and return its record; cancelling this returns a record too."""
        exchange = _Exchange(sent_ns=self.clock.now_ns())
        try:
            await self._exchange(request, exchange)
        except asyncio.CancelledError:
            exchange.failure = (
                (Outcome.CANCELLED, "the run was stopped")
                if self.stopping()
                else (Outcome.CENSORED, "still in flight when the run ended")
            )
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            exchange.failure = _classify(error, answered=bool(exchange.chunks))
            self.own_errors += getattr(error, "errno", None) in _OWN_ERRORS
        end_ns = self.clock.now_ns()
        # Whoever cancels this from here on gets the whole record.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(self.read_after_s)
        return self._record(request, exchange, end_ns)

    async def _exchange(self, request: Request, exchange: _Exchange) -> None:
        waits = self.profile.timeouts
        patience = _Patience(waits, self.clock, exchange)
        try:
            async with asyncio.timeout(waits.total_s) as limit:
                patience.watch(limit)
                async with self.session.post(
                    self.url,
                    data=request.body,
                    headers={
                        "traceparent": request.identity.traceparent,
                        "x-request-id": request.identity.request_id,
                    },
                    allow_redirects=False,
                ) as response:
                    exchange.status = response.status
                    exchange.replica = _replica(response)
                    now_ns, chunks = self.clock.now_ns, exchange.chunks
                    async for chunk in response.content.iter_any():
                        chunks.append((now_ns(), chunk))
                        exchange.size += len(chunk)
                        if exchange.size > MAX_BODY_BYTES:
                            exchange.failure = _TOO_LONG
                            return
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                exchange.failure = (
                    Outcome.CONNECT_TIMEOUT,
                    f"no connection within {waits.connect_s:g} s",
                )
            else:
                exchange.failure = _timed_out(
                    waits, answered=bool(exchange.chunks), total=not patience.lost
                )
        finally:
            patience.rest()

    def _record(self, request: Request, exchange: _Exchange, now_ns: int) -> Record:
        reading = (
            self.provider.read(exchange.chunks, self.profile.api)
            if _is_ok(exchange.status)
            else None
        )
        outcome, error = _verdict(exchange, reading)
        success = outcome is Outcome.SUCCESS
        first = reading.first_token_ns if reading else None
        last = reading.last_token_ns if reading else None
        tokens = reading.output_tokens if reading else None
        end_ns = reading.terminal_ns if success and reading and reading.terminal_ns else now_ns
        finished = end_ns if success else None
        return Record(
            index=request.index,
            request_id=request.identity.request_id,
            traceparent=request.identity.traceparent,
            phase=request.phase,
            scheduled_ns=request.scheduled_ns,
            sent_ns=exchange.sent_ns,
            end_ns=end_ns,
            first_token_ns=first,
            last_token_ns=last,
            outcome=outcome,
            status=exchange.status,
            error=self._one_line(error),
            prompt_tokens=reading.prompt_tokens if reading else None,
            output_tokens=tokens,
            token_source=reading.token_source if reading else None,
            response_ttft_ms=_ms(request.scheduled_ns, first),
            response_latency_ms=_ms(request.scheduled_ns, finished),
            service_ttft_ms=_ms(exchange.sent_ns, first),
            service_latency_ms=_ms(exchange.sent_ns, finished),
            tpot_ms=_tpot_ms(first, last, tokens) if self.profile.api.stream else None,
            max_gap_ms=_max_gap_ms(exchange.chunks),
            replica=exchange.replica,
        )

    def _one_line(self, text: str | None) -> str | None:
        if text is None:
            return None
        if self.secret:
            text = text.replace(self.secret, "***")
        printable = "".join(char if char.isprintable() else " " for char in text)
        return " ".join(printable.split())[:_ERROR_CHARS]


def open_session(timeouts: Timeouts, api_key: str | None) -> aiohttp.ClientSession:
    """Open a session that never queues a request: no limit on connections."""
    # Identity, as a compressing proxy would hold tokens back.
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s),
        headers=headers,
        read_bufsize=1 << 18,
    )


def _replica(response: aiohttp.ClientResponse) -> str | None:
    return next(
        (response.headers[name] for name in REPLICA_HEADERS if name in response.headers), None
    )


def _is_ok(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _verdict(exchange: _Exchange, reading: Reading | None) -> tuple[Outcome, str | None]:
    """Weigh transport against content: a whole answer is a success whatever came after it."""
    decided = (Outcome.SUCCESS, Outcome.INBAND_ERROR)
    if reading is not None and reading.outcome in decided and not reading.implied_end:
        return reading.outcome, reading.error
    if exchange.failure is not None:
        return exchange.failure
    if reading is not None:
        return reading.outcome, reading.error
    status = exchange.status or 0
    text = b"".join(chunk for _, chunk in exchange.chunks)[:_ERROR_BYTES].decode(errors="replace")
    error = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if status == 429:
        return Outcome.HTTP_429, error
    if 400 <= status < 500:
        return Outcome.HTTP_4XX, error
    if status >= 500:
        return Outcome.HTTP_5XX, error
    return Outcome.MALFORMED, f"{error} is no answer to this request"


def _timed_out(waits: Timeouts, *, answered: bool, total: bool) -> tuple[Outcome, str]:
    if total:
        return Outcome.TOTAL_TIMEOUT, f"not finished within {waits.total_s:g} s"
    if answered:
        return Outcome.STALL_TIMEOUT, f"silent for {waits.stall_s:g} s"
    return Outcome.FIRST_BYTE_TIMEOUT, f"no byte within {waits.first_byte_s:g} s"


def _classify(error: Exception, *, answered: bool) -> tuple[Outcome, str]:
    """Find the class of a transport error; the order goes from the special to the general."""
    text = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Outcome.DNS, text
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return Outcome.TLS, text
    if isinstance(error, aiohttp.ClientConnectorError):
        return Outcome.REFUSED, text
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return Outcome.MALFORMED, text
    return (Outcome.RESET_MIDSTREAM if answered else Outcome.RESET_BEFORE_FIRST_BYTE), text


def _ms(start_ns: int, end_ns: int | None) -> float | None:
    return None if end_ns is None else (end_ns - start_ns) / 1e6


def _tpot_ms(first_ns: int | None, last_ns: int | None, tokens: int | None) -> float | None:
    if first_ns is None or last_ns is None or tokens is None or tokens < 2:
        return None
    return (last_ns - first_ns) / 1e6 / (tokens - 1)


def _max_gap_ms(chunks: list[tuple[int, bytes]]) -> float | None:
    if len(chunks) < 2:
        return None
    return max(b[0] - a[0] for a, b in pairwise(chunks)) / 1e6
