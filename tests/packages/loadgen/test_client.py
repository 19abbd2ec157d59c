# SPDX-License-Identifier: Apache-2.0
"""One request against servers that do what no HTTP library would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from loadgen import Profile, Timeouts
from loadgen.client import Client, Clock, Request, open_session
from loadgen.identity import identity
from loadgen.outcomes import Outcome
from loadgen.provider import providers
from loadgen.records import Record

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
BROKEN_CHUNK = HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nboom"
DONE = b"data: [DONE]\n\n"


def ask(profile: Profile) -> Any:
    async def go() -> Record:
        async with open_session(profile.timeouts, None) as session:
            clock = Clock()
            client = Client(
                session, profile, providers()[profile.provider], clock, None, stopping=lambda: False
            )
            return await client.perform(
                Request(
                    index=0,
                    phase="measured",
                    scheduled_ns=clock.now_ns(),
                    identity=identity(0, 0),
                    body=b"{}",
                )
            )

    return go()


def answer_with(
    quick: Callable[..., Profile],
    *pieces: bytes | float,
    timeouts: Timeouts | None = None,
    provider: str = "openai",
) -> Record:
    """Send the pieces (numbers are seconds of silence), close, and return the client's record."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
        except ConnectionError:
            return
        finally:
            writer.close()

    async def main() -> Record:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            changes = {"timeouts": timeouts} if timeouts else {}
            record: Record = await ask(
                quick(f"http://127.0.0.1:{port}", provider=provider, **changes)
            )
            return record

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ((HEAD + b"\r\n" + TOKEN + DONE,), Outcome.SUCCESS),
        ((HEAD + b"\r\n" + TOKEN,), Outcome.TRUNCATED),
        ((HEAD + b"content-length: 999\r\n\r\n" + TOKEN,), Outcome.RESET_MIDSTREAM),
        ((HEAD + b"content-length: 999\r\n\r\n" + TOKEN + DONE,), Outcome.SUCCESS),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), Outcome.MALFORMED),
        ((BROKEN_CHUNK,), Outcome.MALFORMED),
        ((b"",), Outcome.RESET_BEFORE_FIRST_BYTE),
        ((b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",), Outcome.MALFORMED),
        ((HEAD + b"\r\n<html>busy</html>",), Outcome.MALFORMED),
        ((HEAD + b"\r\n",), Outcome.EMPTY),
    ],
)
def test_answers_that_break_the_rules(
    quick: Callable[..., Profile], pieces: tuple[bytes | float, ...], outcome: Outcome
) -> None:
    record = answer_with(quick, *pieces)
    assert record.outcome == outcome, record.error


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ((5.0,), Outcome.FIRST_BYTE_TIMEOUT),
        ((HEAD + b"\r\n", 5.0), Outcome.FIRST_BYTE_TIMEOUT),
        ((HEAD + b"\r\n" + TOKEN, 5.0), Outcome.STALL_TIMEOUT),
        ((HEAD + b"\r\n", *([TOKEN, 0.05] * 30)), Outcome.TOTAL_TIMEOUT),
        ((HEAD + b"\r\n" + TOKEN + DONE, 5.0), Outcome.SUCCESS),
    ],
)
def test_each_timeout_has_its_class(
    quick: Callable[..., Profile], pieces: tuple[bytes | float, ...], outcome: Outcome
) -> None:
    waits = Timeouts(connect_s=1, first_byte_s=0.4, stall_s=0.4, total_s=0.8)
    record = answer_with(quick, *pieces, timeouts=waits)
    assert record.outcome == outcome, record.error
    assert (record.end_ns - record.sent_ns) / 1e9 < 3


def test_a_success_ends_with_its_terminal_frame_not_with_the_silence_after_it(
    quick: Callable[..., Profile],
) -> None:
    waits = Timeouts(connect_s=1, first_byte_s=0.5, stall_s=0.4, total_s=5)
    record = answer_with(quick, HEAD + b"\r\n" + TOKEN + DONE, 5.0, timeouts=waits)
    assert record.service_latency_ms is not None
    assert record.service_latency_ms < 300


def test_a_stream_without_a_last_frame_is_whole_only_if_its_http_answer_is(
    quick: Callable[..., Profile],
) -> None:
    """Triton marks no end where the backend says nothing of it."""
    text = b'data: {"text_output": "a"}\n\n'
    whole = HEAD + b"content-length: %d\r\n\r\n" % len(text) + text
    cut = HEAD + b"content-length: 999\r\n\r\n" + text
    for answer, outcome in ((whole, Outcome.SUCCESS), (cut, Outcome.RESET_MIDSTREAM)):
        assert answer_with(quick, answer, provider="triton-generate").outcome == outcome


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("http://127.0.0.1:9", Outcome.REFUSED), ("http://no-such-host.invalid", Outcome.DNS)],
)
def test_no_connection(quick: Callable[..., Profile], url: str, outcome: Outcome) -> None:
    assert asyncio.run(ask(quick(url))).outcome == outcome


def test_a_plain_server_behind_https_is_a_tls_failure(quick: Callable[..., Profile]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> Record:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            record: Record = await ask(
                quick(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            )
            return record

    assert asyncio.run(main()).outcome == Outcome.TLS


def test_an_answer_without_end_is_cut_off(
    quick: Callable[..., Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.client.MAX_BODY_BYTES", 1000)
    record = answer_with(quick, HEAD + b"\r\n" + TOKEN * 100, 1.0)
    assert record.outcome == Outcome.MALFORMED
    assert "longer than" in (record.error or "")


def test_errors_are_one_line_of_at_most_500_characters(quick: Callable[..., Profile]) -> None:
    head = b"HTTP/1.1 500 Oops\r\ncontent-length: 6000\r\n\r\n"
    record = answer_with(quick, head + b"line\r\n\x1b[31m\xff" * 500)
    assert record.outcome == Outcome.HTTP_5XX
    assert record.error is not None
    assert len(record.error) <= 500
    assert record.error.isprintable()
