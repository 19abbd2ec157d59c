# SPDX-License-Identifier: Apache-2.0
"""The harvest of Prometheus beside prometheus-api-client's own DataFrames: seconds and memory.

    benchmarks/harvest_prometheus.py --samples 1000000

Starts a real Prometheus (Debian's package ``prometheus``), fills it with known samples by
``promtool tsdb create-blocks-from openmetrics``, and fetches the same window twice, each time in a
process of its own: by ``rca_engine.telemetry.prometheus.fetch`` and by
``PrometheusConnect.get_metric_range_data`` with ``MetricRangeDataFrame``. Both must find every
sample. Exits with 1 where a target of the table is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

START_S = 1_767_225_600
"""2026-01-01T00:00:00Z."""
NAMES, SERIES = 10, 50
"""Metric names, and series of each."""
_TIMES_FASTER, _SECONDS, _GIB = 3.0, 20.0, 1.0


def main() -> int:
    """Fill, fetch twice, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--fetch", choices=tuple(FETCHERS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds = arguments.samples // (NAMES * SERIES)
    if arguments.fetch:
        sys.stdout.write(json.dumps(measured(arguments.fetch, arguments.url, seconds)))
        return 0
    with tempfile.TemporaryDirectory() as folder, prometheus(Path(folder), seconds) as server:
        rows = {name: in_process(name, *server, arguments.samples) for name in FETCHERS}
    return report(rows, seconds * NAMES * SERIES)


def report(rows: dict[str, dict[str, float]], expected: int) -> int:
    """Print the table; return 1 where samples are missing or a target is missed."""
    titles = ("samples", "wall s", "CPU s", "server CPU s", "samples/s", "peak RSS MiB")
    lines = [" " * 22 + "".join(f"{title:>14}" for title in titles)]
    for name, row in rows.items():
        figures = (
            f"{row['samples']:.0f}", f"{row['wall_s']:.2f}", f"{row['cpu_s']:.2f}",
            f"{row['server_cpu_s']:.2f}", f"{row['samples'] / row['wall_s']:.0f}",
            f"{row['rss_mib']:.0f}",
        )  # fmt: skip
        lines.append(f"{name:22}" + "".join(f"{figure:>14}" for figure in figures))
    ours, theirs = rows["rca_engine"], rows["MetricRangeDataFrame"]
    ratio = theirs["wall_s"] / ours["wall_s"]
    cost = both(theirs) / both(ours)
    sys.stdout.write(
        "\n".join(
            [
                *lines,
                f"{ratio:.1f} times faster by the clock, {cost:.1f} times by CPU of both ends",
                "",
            ]
        )
    )
    missed = [
        *(f"{name}: {row['samples']:.0f} samples" for name, row in rows.items()
          if row["samples"] != expected),
        *([f"only {ratio:.1f} times faster"] if ratio < _TIMES_FASTER else []),
        *(["too slow"] if ours["wall_s"] > _SECONDS * expected / 1e6 else []),
        *(["too large"] if ours["rss_mib"] > _GIB * 1024 else []),
    ]  # fmt: skip
    for each in missed:
        sys.stderr.write(f"missed: {each}\n")
    return 1 if missed else 0


def both(row: dict[str, float]) -> float:
    """Return the CPU seconds of client and server."""
    return row["cpu_s"] + row["server_cpu_s"]


def in_process(name: str, url: str, server: int, samples: int) -> dict[str, float]:
    """Fetch in a process of its own, whose memory is its own; the server's CPU counts, too."""
    before_s = cpu_s(server)
    command = [sys.executable, __file__, "--fetch", name, "--url", url, "--samples", str(samples)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(answer.stdout), "server_cpu_s": cpu_s(server) - before_s}


def cpu_s(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(name: str, url: str, seconds: int) -> dict[str, float]:
    """Fetch and say what it took, imports not counted."""
    FETCHERS[name](url, 1)
    wall, cpu = time.perf_counter(), time.process_time()
    samples = FETCHERS[name](url, seconds)
    return {
        "samples": samples,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def by_rca_engine(url: str, seconds: int) -> int:
    """Fetch as the harvest does."""
    from rca_engine.model import NS, Window
    from rca_engine.telemetry.prometheus import Selection, fetch

    window = Window(START_S * NS, (START_S + seconds) * NS)
    names = tuple(f"load_{name}" for name in range(NAMES))
    return int(fetch(url, [Selection("bench", names)], window).samples.readings.size)


def by_data_frames(url: str, seconds: int) -> int:
    """Fetch as prometheus-api-client's users do."""
    from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

    server, rows = PrometheusConnect(url=url), 0
    begin, end = (datetime.fromtimestamp(START_S + each, UTC) for each in (-1, seconds))
    frames: list[Any] = []
    for name in range(NAMES):
        data = server.get_metric_range_data(f"load_{name}", {"job": "bench"}, begin, end)
        frames.append(MetricRangeDataFrame(data))
        rows += len(frames[-1])
    return rows


FETCHERS = {"rca_engine": by_rca_engine, "MetricRangeDataFrame": by_data_frames}


@contextmanager
def prometheus(root: Path, seconds: int) -> Iterator[tuple[str, int]]:
    """Run a Prometheus that holds ``seconds`` samples of each series; yield URL and process."""
    programs = [shutil.which(name) for name in ("prometheus", "promtool")]
    if None in programs:
        raise SystemExit("needs Prometheus: apt-get install prometheus")
    server, tool = map(str, programs)
    exposition = root / "samples.txt"
    with exposition.open("w", encoding="utf-8") as file:
        for name in range(NAMES):
            file.write(f"# TYPE load_{name} gauge\n")
            for series in range(SERIES):
                head = f'load_{name}{{job="bench",component="replica/llm-{series}"}}'
                file.writelines(
                    f"{head} {(second * 7919 + series) % 1000 / 7} {START_S + second}.123\n"
                    for second in range(seconds)
                )
        file.write("# EOF\n")
    data, config = root / "data", root / "prometheus.yml"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    create: Sequence[str] = (tool, "tsdb", "create-blocks-from", "openmetrics")
    subprocess.run([*create, str(exposition), str(data)], check=True, **quiet)
    config.write_text("{}", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [
            server, f"--config.file={config}", f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=20y", f"--web.listen-address={address}",
        ],
        **quiet,
    )  # fmt: skip
    try:
        wait_until_ready(f"http://{address}", process)
        yield f"http://{address}", process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers queries."""
    import requests

    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit("Prometheus ended")
        try:
            if requests.get(f"{url}/-/ready", timeout=1).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise SystemExit("Prometheus did not become ready")


if __name__ == "__main__":
    sys.exit(main())
