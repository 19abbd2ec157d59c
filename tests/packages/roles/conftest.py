# SPDX-License-Identifier: Apache-2.0
"""A real nginx for the configurations that roles write."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

ROLES = Path(__file__).resolve().parents[3] / "roles"


@pytest.fixture
def render() -> Callable[[str, str, dict[str, Any]], str]:
    """Make a text of a role's variables, as Ansible would of settings: role, name, settings."""
    return _render


def _render(role: str, template: str, settings: dict[str, Any]) -> str:
    variables = yaml.safe_load((ROLES / role / "vars/main.yml").read_text(encoding="utf-8"))
    environment = Environment(autoescape=False, trim_blocks=True)  # noqa: S701 - no page
    return environment.from_string(variables[template]).render(variables | settings)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Find a port that nothing listens at."""
    return _free_port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def run_nginx(tmp_path: Path) -> Iterator[Callable[[str, int], None]]:
    """Start nginx with a configuration and wait until it listens at a port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs nginx: apt-get install nginx-light")
    started: list[subprocess.Popen[bytes]] = []

    def run(text: str, port: int) -> None:
        path = tmp_path / "nginx.conf"
        path.write_text("master_process off;\n" + text, encoding="utf-8")
        process = subprocess.Popen([program, "-e", "stderr", "-c", str(path)])
        started.append(process)
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
        pytest.fail("nginx has ended")

    yield run
    for process in started:
        process.terminate()
        process.wait(10)
