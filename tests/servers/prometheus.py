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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


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
def run(
    server: str, data: Path, config: Path, *flags: str, address: str | None = None
) -> Iterator[str]:
    """Run a Prometheus on a store that may be there."""
    address = address or f"127.0.0.1:{free_port()}"
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


def scrapes(url: str, job: str) -> int:
    """Return how many samples of ``up`` a job has in the last ten minutes."""
    query = f'sum(count_over_time(up{{job="{job}"}}[10m]))'
    answer = requests.get(f"{url}/api/v1/query", {"query": query}, timeout=5).json()
    result = answer["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def wait_for_scrapes(url: str, job: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while scrapes(url, job) < count:
        assert time.monotonic() < deadline, f"fewer than {count} scrapes"
        time.sleep(0.1)


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=1).ok
    except requests.RequestException:
        return False
