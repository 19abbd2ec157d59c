# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus (Debian's package) that holds samples of one's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests


def programs() -> tuple[str, str]:
    found = shutil.which("prometheus"), shutil.which("promtool")
    if None in found:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    return str(found[0]), str(found[1])


@contextmanager
def prometheus(root: Path, exposition: Iterable[str], *flags: str) -> Iterator[str]:
    """Fill a new store from lines of OpenMetrics text, run it, yield its URL."""
    server, tool = programs()
    source, data, config = root / "samples.txt", root / "data", root / "prometheus.yml"
    source.write_text("\n".join([*exposition, "# EOF", ""]), encoding="utf-8")
    create = [tool, "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)]
    subprocess.run(create, check=True, capture_output=True)
    config.write_text("{}", encoding="utf-8")
    with run(server, data, config, *flags) as url:
        yield url


@contextmanager
def run(server: str, data: Path, config: Path, *flags: str) -> Iterator[str]:
    """Run a Prometheus on a store that is there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        server, f"--config.file={config}", f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=20y", f"--web.listen-address={address}", *flags,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _ready(f"http://{address}"):
            assert process.poll() is None, "Prometheus ended"
            assert time.monotonic() < deadline, "Prometheus did not become ready"
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=1).ok
    except requests.RequestException:
        return False
