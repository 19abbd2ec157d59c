# SPDX-License-Identifier: Apache-2.0
"""What tests of both packages and of the roles need: a browser, a cluster and its programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_kubernetes import FakeKubernetes

TOOLS = Path(__file__).resolve().parents[2] / ".cache" / "tools"
HELMS = ("helm-3.17", "helm-4.3")

# Runs a program with these arguments and returns what it prints.
Run = Callable[..., str]


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless Chromium; its tests bear the mark ``browser``.

    A fresh one each time: while Playwright is there, this thread can run no other event loop.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (.venv)")
    from screenshot import CHROMIUM_ARGUMENTS

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(CHROMIUM_ARGUMENTS)
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file; at the end, no console error and no request to the outside.

    Called with the page's path, the window's width in pixels, and options of a browser context.
    """
    complaints: list[str] = []
    requests: list[str] = []
    contexts: list[Any] = []

    def open_page(path: Path, width: int, *, charts: bool = True, **options: Any) -> Any:
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, offline=True, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        if charts:
            page.wait_for_selector("html[data-charts=drawn]", state="attached", timeout=15_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    """A fresh cluster of one node on a fresh port."""
    with FakeKubernetes() as fake:
        yield fake


@pytest.fixture
def kubeconfig(fake_kubernetes: FakeKubernetes, tmp_path: Path) -> Path:
    """A kubeconfig for that cluster."""
    return fake_kubernetes.write_kubeconfig(tmp_path / "kubeconfig")


def _program(folder: str, name: str, kubeconfig: Path, home: Path) -> Run:
    program = TOOLS / folder / name
    if not program.is_file():
        pytest.skip(f"needs {name}: make cluster-tools")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [program, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise AssertionError(f"{name} {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    return run


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Run:
    """The real helm, in both versions that are supported."""
    return _program(request.param, "helm", kubeconfig, tmp_path)


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Run:
    """The real kubectl."""
    return _program("helm-4.3", "kubectl", kubeconfig, tmp_path)
