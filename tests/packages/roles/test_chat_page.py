# SPDX-License-Identifier: Apache-2.0
"""The chat page in a real browser, behind a real nginx: answers are text, whatever is in them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from playwright.sync_api import Browser, Page, expect

KEY = "Zk3vN0pQ8rT5wX2yB7cD4fG6hJ9mS1aE"
NASTY = "<img src=x onerror=\"document.title='taken'\"> & <b>bold</b>"

FILES = Path(__file__).resolve().parents[3] / "roles/chat/files"

pytestmark = [pytest.mark.slow, pytest.mark.browser]


class Service(BaseHTTPRequestHandler):
    """A model that answers markup, to who has the key; without a last frame if asked to."""

    questions: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        if self._allowed():
            self._send("application/json", json.dumps({"data": [{"id": "tiny"}]}))

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._allowed():
            return
        self.questions.append(question)
        pieces = [NASTY[:20], NASTY[20:]]
        frames = [json.dumps({"choices": [{"delta": {"content": each}}]}) for each in pieces]
        if question["messages"][-1]["content"] != "break":
            frames.append("[DONE]")
        self._send("text/event-stream", "".join(f"data: {frame}\n\n" for frame in frames))

    def _allowed(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {KEY}":
            return True
        self.send_error(401)
        return False

    def _send(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def page(
    tmp_path: Path,
    render: Callable[[str, str, dict[str, Any]], str],
    free_port: Callable[[], int],
    run_nginx: Callable[[str, int], None],
    browser: Browser,
) -> Iterator[Page]:
    Service.questions.clear()
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    port = free_port()
    upstream = {"chat_upstream": f"127.0.0.1:{service.server_address[1]}"}
    text = render("chat", "_chat_nginx_conf", upstream)
    # What is the pod's there is the test's here.
    for old, new in {
        "/tmp/": f"{tmp_path}/",  # noqa: S108 - of the pod
        "/etc/chat": str(FILES),
        "listen 8080": f"listen 127.0.0.1:{port}",
        "kube-dns.kube-system.svc.cluster.local": "127.0.0.1",
    }.items():
        text = text.replace(old, new)
    run_nginx(text, port)
    opened = browser.new_page()
    opened.goto(f"http://127.0.0.1:{port}/")
    yield opened
    opened.close()
    service.shutdown()
    service.server_close()


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def test_an_answer_is_shown_as_text_and_nothing_of_it_runs(page: Page) -> None:
    page.fill("#key", KEY)
    page.press("#key", "Tab")
    expect(page.locator("#model")).to_have_value("tiny")
    say(page, "Hello")
    expect(page.locator("p.assistant")).to_contain_text(NASTY)
    expect(page.locator("p.assistant small")).to_contain_text("first token after")
    assert page.locator("main img, main b").count() == 0
    assert page.title() == "Chat"
    say(page, "And then?")
    expect(page.locator("p.assistant")).to_have_count(2)
    expect(page.locator("#send")).to_be_enabled()
    roles = [message["role"] for message in Service.questions[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert Service.questions[-1]["stream"] is True


def test_what_went_wrong_is_said(page: Page) -> None:
    expect(page.locator("p.error").first).to_contain_text("Enter the gateway's key")
    page.fill("#key", KEY)
    page.press("#key", "Tab")
    expect(page.locator("#model")).to_have_value("tiny")
    say(page, "break")
    expect(page.locator("p.error").last).to_contain_text("broke off")
    expect(page.locator("#send")).to_be_enabled()
