# SPDX-License-Identifier: Apache-2.0
"""What Prometheus answers, and what happens when it does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.prometheus import Fetched, Selection, fetch

Answer = Callable[[dict[str, list[str]]], tuple[int, bytes]]
SELECTION = Selection("ray", ("a_total", "b"))


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(parse_qs(urlsplit(self.path).query))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def matrix(*values: tuple[float, str], **more: object) -> bytes:
    series = {"metric": {"__name__": "b", "component": "head/ray"}, "values": list(values)}
    data = {"resultType": "matrix", "result": [series] if values else []}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def get(answer: Answer, start: float = 1000, end: float = 1100) -> Fetched:
    with server(answer) as url:
        return fetch(url, [SELECTION], Window(round(start * NS), round(end * NS)), deadline_s=5)


def test_samples_keep_their_scrape_times_and_come_once():
    asked = []

    def answer(query: dict[str, list[str]]) -> tuple[int, bytes]:
        asked.append((query["query"][0], query["time"][0]))
        # The same sample on the border of two chunks, and one outside the window.
        return 200, matrix((999.0, "7"), (1059.821, "1"), (1060.0, "2"))

    fetched = get(answer)
    times, readings = fetched.samples.series(0)
    assert times.tolist() == [1059_821_000_000, 1060_000_000_000]
    assert readings.tolist() == [1.0, 2.0]
    assert fetched.samples.component(0) == "head/ray"
    selector = '{job="ray",__name__=~"a_total|b"}'
    assert asked == [(f"{selector}[61s]", "1060"), (f"{selector}[41s]", "1100")]
    assert [query["rows"] for query in fetched.queries] == [2, 2]


def test_warnings_of_the_server_are_kept():
    fetched = get(lambda _: (200, matrix((1001.0, "NaN"), warnings=["truncated"])), end=1010)
    assert fetched.warnings == ("truncated",)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, b'{"status":"error","errorType":"execution","error":"too many samples"}'),
        (200, b"<html>welcome</html>"),
        (200, b'{"status":"success"}'),
        (200, b'{"status":"success","data":{"result":[{"metric":{}}]}}'),
        (404, b"not here"),
    ],
)
def test_what_is_no_answer_is_told_with_its_address(status, body):
    with pytest.raises(TelemetryError, match=r"http://127.0.0.1:\d+: not an answer of Prometheus"):
        get(lambda _: (status, body), end=1010)


def test_a_server_that_recovers_is_asked_again():
    calls = []

    def answer(_query: dict[str, list[str]]) -> tuple[int, bytes]:
        calls.append(1)
        return (503, b"") if len(calls) == 1 else (200, matrix((1001.0, "1")))

    assert len(get(answer, end=1010).samples) == 1


def test_an_unreachable_server_is_told_with_what_to_do():
    with pytest.raises(TelemetryError, match=r"can't be reached .*refused.* is the lab up"):
        fetch("http://127.0.0.1:1", [SELECTION], Window(0, NS), deadline_s=5)


def test_the_deadline_bounds_all_queries_together():
    with pytest.raises(TelemetryError, match="took too long"), server(lambda _: (200, b"")) as url:
        fetch(url, [SELECTION], Window(0, NS), deadline_s=0)


def test_a_recorded_answer_of_a_real_server_is_read(test_data: Path):
    body = (test_data / "recorded" / "prometheus" / "instant_matrix.json").read_bytes()
    first = json.loads(body)["data"]["result"][0]
    start = first["values"][0][0]
    fetched = get(lambda _: (200, body), start=start - 1, end=start + 10)
    names = dict(zip(fetched.samples.names, fetched.samples.labels, strict=True))
    assert names["vllm:num_requests_running"]["job"] == "vllm_fake"
    times, readings = fetched.samples.series(0)
    assert times[0] == round(start * 1000) * 1_000_000
    assert readings[0] == float(first["values"][0][1])
