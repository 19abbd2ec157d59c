# SPDX-License-Identifier: Apache-2.0
"""The mock's HTTP face: vLLM's OpenAI API, its metrics and its faults."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics

from loadgen.errors import LoadgenError
from loadgen.mock.engine import Engine, Generation
from loadgen.mock.metrics import Metrics, make_metrics
from loadgen.mock.settings import (
    FAULT_AFTER_TOKENS,
    FAULT_HEADER,
    SLOW_FACTOR,
    Fault,
    MockSettings,
)

_DEFAULT_OUTPUT_TOKENS = 16
_FOREVER_S = 86_400.0
_LINGER_ZERO = struct.pack("ii", 1, 0)
_REFUSALS = {404: "no such model", 429: "too many requests", 503: "the service is not available"}


class _BadRequestError(Exception):
    """The request's body can't be served; the text says why."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """What a request's body asks for."""

    prompt_tokens: int
    output_tokens: int
    stream: bool
    usage: bool


class MockServer:
    """The application, its engine and its log of arrivals.

    Parameters
    ----------
    settings
        Its behaviour.

    Raises
    ------
    LoadgenError
        If the log of arrivals can't be written.
    """

    def __init__(self, settings: MockSettings) -> None:
        self._settings = settings
        self._metrics: Metrics = make_metrics(settings)
        self._engine = Engine(settings, self._metrics)
        self._requests = 0
        self._arrivals: BinaryIO | None = None
        if settings.arrivals is not None:
            try:
                self._arrivals = settings.arrivals.open("wb", buffering=0)
            except OSError as error:
                raise LoadgenError(f"can't write {settings.arrivals}: {error.strerror}") from error

    def application(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/metrics", self._scrape),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        return app

    def close(self) -> None:
        """Let go of thread and file."""
        self._engine.close()
        if self._arrivals is not None:
            self._arrivals.close()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _scrape(self, _request: web.Request) -> web.Response:
        headers = {"content-type": CONTENT_TYPE_LATEST}
        return web.Response(body=self._metrics.exposition(), headers=headers)

    async def _models(self, _request: web.Request) -> web.Response:
        model = {
            "id": self._settings.model,
            "object": "model",
            "created": 0,
            "owned_by": "vllm",
            "max_model_len": self._settings.kv_tokens,
        }
        return _json({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        index, self._requests = self._requests, self._requests + 1
        arrival_ns = time.time_ns()
        named = request.headers.get(FAULT_HEADER)
        try:
            fault = Fault(named) if named else self._settings.fault_of(index)
        except ValueError:
            return _refusal(400, f"{FAULT_HEADER} must be one of {', '.join(Fault)}")
        self._log_arrival(index, arrival_ns, request, fault)
        try:
            ask = self._read(await request.read())
        except _BadRequestError as error:
            return _refusal(400, str(error))
        if fault is not None and fault.status is not None:
            return self._named(_refusal(fault.status, _REFUSALS[fault.status]))
        if fault is Fault.RESET:
            return _reset(request)
        if fault is Fault.HANG:
            await asyncio.sleep(_FOREVER_S)
        name = f"chatcmpl-{request.headers.get('x-request-id', index)}"
        generation = Generation(
            ask.prompt_tokens, ask.output_tokens, SLOW_FACTOR if fault is Fault.SLOW else 1.0
        )
        if ask.stream:
            return await self._stream(request, name, ask, generation, fault)
        return await self._whole(name, ask, generation)

    def _log_arrival(
        self, index: int, arrival_ns: int, request: web.Request, fault: Fault | None
    ) -> None:
        if self._arrivals is not None:
            entry = {
                "index": index,
                "arrival_ns": arrival_ns,
                "request_id": request.headers.get("x-request-id"),
                "fault": fault,
            }
            self._arrivals.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def _read(self, body: bytes) -> _Ask:
        try:
            asked: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise _BadRequestError(f"the body is no JSON: {error}") from error
        if not isinstance(asked, dict):
            raise _BadRequestError("the body is no JSON object")
        if asked.get("model") != self._settings.model:
            raise _BadRequestError(f"the model must be {self._settings.model!r}")
        tokens = asked.get("max_completion_tokens", asked.get("max_tokens", _DEFAULT_OUTPUT_TOKENS))
        if not isinstance(tokens, int) or not 1 <= tokens <= self._settings.max_tokens:
            raise _BadRequestError(f"max_tokens must be from 1 to {self._settings.max_tokens}")
        options = asked.get("stream_options") or {}
        return _Ask(
            prompt_tokens=_count_words(asked.get("messages")),
            output_tokens=tokens,
            stream=asked.get("stream") is True,
            usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def _named(self, response: web.Response) -> web.Response:
        if self._settings.replica:
            response.headers["x-replica"] = self._settings.replica
        return response

    async def _whole(self, name: str, ask: _Ask, generation: Generation) -> web.Response:
        async with aclosing(self._engine.tokens(generation)) as tokens:
            words = [_word(number) async for number in tokens]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(words)},
            "finish_reason": "length",
        }
        answer = self._envelope(name, "chat.completion") | {
            "choices": [choice],
            "usage": _usage(ask, len(words)),
        }
        return self._named(_json(answer))

    async def _stream(
        self,
        request: web.Request,
        name: str,
        ask: _Ask,
        generation: Generation,
        fault: Fault | None,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        if self._settings.replica:
            response.headers["x-replica"] = self._settings.replica
        await response.prepare(request)
        if fault is Fault.EMPTY:
            await response.write_eof()
            return response
        chunk = self._envelope(name, "chat.completion.chunk")
        await response.write(_frame(chunk | _choice({"role": "assistant", "content": ""})))
        async with aclosing(self._engine.tokens(generation)) as tokens:
            async for number in tokens:
                if fault is not None and number > FAULT_AFTER_TOKENS:
                    ending = await _spoil(request, response, fault)
                    if ending is not None:
                        return ending
                last = "length" if number == ask.output_tokens else None
                await response.write(
                    _frame(chunk | _choice({"content": _word(number)}, finish=last))
                )
        if ask.usage:
            await response.write(
                _frame(chunk | {"choices": [], "usage": _usage(ask, ask.output_tokens)})
            )
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _envelope(self, name: str, kind: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": kind,
            "created": int(time.time()),
            "model": self._settings.model,
        }


@asynccontextmanager
async def serve(settings: MockSettings, host: str, port: int) -> AsyncIterator[str]:
    """Serve on ``host`` and ``port`` (0: a free one) and yield the root URL.

    Raises
    ------
    LoadgenError
        If the address can't be bound.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    server = MockServer(settings)
    # A client that goes away ends its request in the engine, as with vLLM.
    runner = web.AppRunner(
        server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise LoadgenError(f"can't listen on {host}:{port}: {error.strerror}") from error
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
        server.close()


async def _spoil(
    request: web.Request, response: web.StreamResponse, fault: Fault
) -> web.StreamResponse | None:
    """Play a fault of the stream; return what ends the request, or ``None`` to go on."""
    match fault:
        case Fault.RESET_MIDSTREAM:
            return _reset(request)
        case Fault.STALL:
            await asyncio.sleep(_FOREVER_S)
        case Fault.ERROR_FRAME:
            error = {"message": "the engine died", "type": "internal_error", "code": 500}
            await response.write(_frame({"error": error}) + b"data: [DONE]\n\n")
        case Fault.MALFORMED:
            await response.write(b'data: {"choices": [{"delta": \n\n')
        case Fault.SLOW:
            return None
    # Also for `truncate`: an end as HTTP wants it, without the last frame.
    await response.write_eof()
    return response


def _reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection so that the kernel sends RST."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO
        )
        transport.abort()
    return web.Response()


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), status=status, content_type="application/json", charset="utf-8"
    )


def _refusal(status: int, message: str) -> web.Response:
    return _json({"error": {"message": message, "type": "mock", "code": status}}, status)


def _frame(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _usage(ask: _Ask, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": ask.prompt_tokens + output_tokens,
    }


def _word(number: int) -> str:
    return f"t{number} "


def _count_words(messages: Any) -> int:
    """Count the words of a chat, one token each."""
    if not isinstance(messages, list) or not messages:
        raise _BadRequestError("messages must be a list with at least one message")
    count = 0
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise _BadRequestError("each message must have a text as its content")
        count += len(message["content"].split())
    return count
