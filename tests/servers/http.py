# SPDX-License-Identifier: Apache-2.0
"""A server of one's own for one test: requests in, answers out, and each way to be slow or fail."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: form fields count as parameters."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """One answer. ``cut`` bytes of the body are sent, then the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait: threading.Event | None = None
    """Held back until it is set."""
    drip_s: float = 0.0
    """Pause after each byte of the body."""


def as_json(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def as_text(text: str, status: int = 400) -> Reply:
    return Reply(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


Answer = Callable[[Asked], Reply]


@dataclass
class Flaky:
    """Answers as another does, after the given replies were given first."""

    answer: Answer
    first: list[Reply]

    def __call__(self, asked: Asked) -> Reply:
        return self.first.pop(0) if self.first else self.answer(asked)


@contextmanager
def serve(answer: Answer) -> Iterator[str]:
    """Serve on a free port of the loopback; yield the root URL."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            form = parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True)
            params = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(form)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = answer(Asked(self.command, parts.path, params, headers))
            if reply.wait is not None:
                reply.wait.wait(30)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.drip_s:
                self._drip(reply)
            else:
                self.wfile.write(reply.body[: reply.cut])
            self.close_connection = reply.cut is not None

        def _drip(self, reply: Reply) -> None:
            with contextlib.suppress(OSError):  # the client need not wait for the end
                for byte in reply.body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(reply.drip_s)

        do_GET = do_POST = _reply  # noqa: N815 - http.server calls them by these names

        def log_message(self, *_args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
