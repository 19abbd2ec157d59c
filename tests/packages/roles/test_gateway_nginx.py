# SPDX-License-Identifier: Apache-2.0
"""The cluster's gateway, with a real nginx: who has the secret gets through, and streams flow."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

KEY = "Zk3vN0pQ8rT5wX2yB7cD4fG6hJ9mS1aE"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Gateway:
    """A running one: how it authenticates, where it listens, and its log."""

    authentication: str
    port: int
    log: Path

    def health(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/healthz")
        return connection.getresponse().status

    def lines(self) -> list[str]:
        """Return its log, once it has come to a later request: it does one thing at a time."""
        self.health()
        return self.log.read_text(encoding="utf-8").splitlines()


class Service(BaseHTTPRequestHandler):
    """Answers with the headers that it got, then with a second frame once it is told to."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._frame(json.dumps(dict(self.headers.items())))
        assert self.go_on.wait(10)
        self._frame("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _frame(self, data: str) -> None:
        frame = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        pass


def settings(authentication: str, service: int) -> dict[str, Any]:
    return {
        "gateway_authentication": authentication,
        "gateway_read_timeout_s": 60,
        "gateway_resolver": "127.0.0.1",
        "gateway_traces_endpoint": "",
        "gateway_user": "rcalab",
        "gateway_workers": 1,
        # Only an nginx of 1.27 and later follows a name; the test's may be older.
        "_gateway_upstream_server": f"server 127.0.0.1:{service} max_fails=0;",
    }


@pytest.fixture(params=["api_key", "basic", "none"])
def gateway(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    render: Callable[[str, str, dict[str, Any]], str],
    free_port: Callable[[], int],
    run_nginx: Callable[[str, int], None],
) -> Iterator[Gateway]:
    """A gateway and the service behind it."""
    Service.go_on.clear()
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    given = settings(request.param, service.server_address[1])
    credentials = render("gateway", "_gateway_credentials_format", given).replace("%s", KEY)
    (tmp_path / "credentials").write_text(credentials, encoding="utf-8")
    text = render("gateway", "_gateway_nginx_conf", given)
    port = free_port()
    # What is the pod's there is the test's here.
    for old, new in {
        "/tmp/": f"{tmp_path}/",  # noqa: S108 - of the pod
        "/dev/stdout": f"{tmp_path}/access.log",
        "/etc/gateway/credentials/credentials": f"{tmp_path}/credentials",
        "127.0.0.1:8081": f"127.0.0.1:{free_port()}",
        "listen 8080": f"listen 127.0.0.1:{port}",
    }.items():
        text = text.replace(old, new)
    run_nginx(text, port)
    yield Gateway(request.param, port, tmp_path / "access.log")
    Service.go_on.set()
    service.shutdown()
    service.server_close()


def ask(port: int, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/chat/completions", b"{}", headers)
    return connection.getresponse()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_only_who_has_the_secret_gets_through(gateway: Gateway) -> None:
    Service.go_on.set()
    tries = {
        "": "none",
        f"Bearer {KEY}": "api_key",
        basic("rcalab", KEY): "basic",
        f"Bearer {KEY}x": "nobody",
        f"bearer  {KEY}": "nobody",
        basic("rcalab", KEY[:-1]): "nobody",
    }
    for value, way in tries.items():
        headers = {"Authorization": value} if value else {}
        allowed = gateway.authentication in (way, "none")
        assert ask(gateway.port, headers).status == (200 if allowed else 401), value


def test_a_stream_flows_with_its_headers_and_is_logged(gateway: Gateway) -> None:
    keys = {"api_key": f"Bearer {KEY}", "basic": basic("rcalab", KEY)}
    key = keys.get(gateway.authentication)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": trace, "X-Request-Id": "r1"}
    answer = ask(gateway.port, headers | ({"Authorization": key} if key else {}))
    # The first frame is here while the service holds the second one back.
    first = answer.readline()
    Service.go_on.set()
    seen = {name.lower(): value for name, value in json.loads(first[len("data: ") :]).items()}
    assert seen["traceparent"] == trace
    assert "authorization" not in seen
    assert answer.read().endswith(b"data: [DONE]\n\n")
    line = json.loads(gateway.lines()[-1])
    assert (line["status"], line["request_id"], line["traceparent"]) == (200, "r1", trace)


def test_health_needs_no_secret_and_leaves_no_line(gateway: Gateway) -> None:
    assert gateway.health() == 204
    assert gateway.lines() == []
