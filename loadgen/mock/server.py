# SPDX-License-Identifier: Apache-2.0
"""The mock's HTTP side: its dialects' endpoints, vLLM's metrics, and its faults."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, BinaryIO

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics

from loadgen.errors import LoadgenError
from loadgen.mock.engine import Engine, Generation
from loadgen.mock.face import Asked, BadRequestError, Face, faces, frame
from loadgen.mock.metrics import Metrics, make_metrics
from loadgen.mock.settings import (
    FAULT_AFTER_TOKENS,
    FAULT_HEADER,
    SLOW_FACTOR,
    Fault,
    MockSettings,
)

_FOREVER_S = 86_400.0
_LINGER_ZERO = struct.pack("ii", 1, 0)
_REFUSALS = {404: "no such model", 429: "too many requests", 503: "the service is not available"}


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
                web.get("/v2/models/{model}/ready", self._ready),
                *(
                    web.post(route, self._handler(face))
                    for face in faces()
                    for route in face.routes
                ),
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
            "owned_by": self._settings.provider,
            "max_model_len": self._settings.kv_tokens,
        }
        listed = [model] if self._settings.provider == "together" else {"object": "list"}
        return _json(listed if isinstance(listed, list) else listed | {"data": [model]})

    async def _ready(self, request: web.Request) -> web.Response:
        known = request.match_info["model"] == self._settings.model
        return web.Response(status=200 if known else 400)

    def _handler(self, face: Face) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, face)

        return handle

    async def _answer(self, request: web.Request, face: Face) -> web.StreamResponse:
        index, self._requests = self._requests, self._requests + 1
        arrival_ns = time.time_ns()
        named = request.headers.get(FAULT_HEADER)
        try:
            fault = Fault(named) if named else self._settings.fault_of(index)
        except ValueError:
            return _refusal(face, 400, f"{FAULT_HEADER} must be one of {', '.join(Fault)}")
        self._log_arrival(index, arrival_ns, request, fault)
        try:
            name = request.headers.get("x-request-id", str(index))
            body = _read_object(await request.read())
            asked = face.read(self._settings, name, request.path, body)
        except BadRequestError as error:
            return _refusal(face, 400, str(error))
        if fault is not None and fault.status is not None:
            return self._named(_refusal(face, fault.status, _REFUSALS[fault.status]))
        if fault is Fault.RESET:
            return _reset(request)
        if fault is Fault.HANG:
            await asyncio.sleep(_FOREVER_S)
        generation = Generation(
            asked.prompt,
            asked.prompt_tokens,
            asked.output_tokens,
            SLOW_FACTOR if fault is Fault.SLOW else 1.0,
        )
        work = self._stream if asked.stream else self._whole
        return await work(request, face, asked, generation, fault)

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

    def _named(self, response: web.Response) -> web.Response:
        if self._settings.replica:
            response.headers["x-replica"] = self._settings.replica
        return response

    async def _whole(
        self,
        request: web.Request,
        face: Face,
        asked: Asked,
        generation: Generation,
        fault: Fault | None,
    ) -> web.StreamResponse:
        async with aclosing(self._engine.tokens(generation)) as tokens:
            async for _ in tokens:
                pass
        body = orjson.dumps(face.whole(self._settings, asked))
        if fault in (None, Fault.SLOW):
            return self._named(_json(body))
        response = await self._begin(request, "application/json")
        if fault not in (Fault.EMPTY, Fault.ERROR_FRAME, Fault.MALFORMED):
            await response.write(body[: len(body) // 2])
        return await self._spoil(request, response, face, fault, stream=False)

    async def _stream(
        self,
        request: web.Request,
        face: Face,
        asked: Asked,
        generation: Generation,
        fault: Fault | None,
    ) -> web.StreamResponse:
        settings = self._settings
        response = await self._begin(request, "text/event-stream; charset=utf-8")
        if fault is Fault.EMPTY:
            await response.write_eof()
            return response
        async with aclosing(self._engine.tokens(generation)) as tokens:
            async for number in tokens:
                spoils = fault is not None and fault is not Fault.SLOW
                if spoils and number > FAULT_AFTER_TOKENS:
                    return await self._spoil(request, response, face, fault, stream=True)
                # The role comes with the first token, not before it, as with vLLM.
                opening = face.opening(settings, asked) if number == 1 else b""
                await response.write(opening + face.token(settings, asked, number))
        if ending := face.ending(settings, asked):
            await response.write(ending)
        await response.write_eof()
        return response

    async def _begin(self, request: web.Request, content_type: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": content_type})
        if self._settings.replica:
            response.headers["x-replica"] = self._settings.replica
        await response.prepare(request)
        return response

    async def _spoil(
        self,
        request: web.Request,
        response: web.StreamResponse,
        face: Face,
        fault: Fault | None,
        *,
        stream: bool,
    ) -> web.StreamResponse:
        """Play a fault within an answer."""
        error = face.error("the engine died", 500)
        match fault:
            case Fault.RESET_MIDSTREAM:
                await asyncio.sleep(0)  # what was written leaves before the reset
                return _reset(request)
            case Fault.STALL:
                await asyncio.sleep(_FOREVER_S)
            case Fault.ERROR_FRAME:
                whole = orjson.dumps(error)
                await response.write(frame(error) + b"data: [DONE]\n\n" if stream else whole)
            case Fault.MALFORMED:
                await response.write(b'data: {"choices": [{"delta": \n\n' if stream else b"<html>")
        # Also for `truncate`: an end as HTTP wants it, without the last frame.
        await response.write_eof()
        return response


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


def _reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection so that the kernel sends RST."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO
        )
        transport.abort()
    return web.Response()


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequestError("the body is no JSON object")
    return value


def _json(value: Any, status: int = 200) -> web.Response:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def _refusal(face: Face, status: int, message: str) -> web.Response:
    return _json(face.error(message, status), status)
