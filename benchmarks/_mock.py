# SPDX-License-Identifier: Apache-2.0
"""The mock server as a process of its own, what it knows to be true, and what a client cost."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = os.environ | {"PYTHONPATH": str(ROOT)}
TTFT_MS, ITL_MS = 50, 10

_NS = 1_000_000_000


@dataclass(frozen=True)
class Truth:
    """What the mock saw."""

    arrivals_ns: list[int]
    faults: int
    ttft_mean_ms: float

    def within(self, start_s: float, end_s: float, slack_s: float = 0.0) -> int:
        """Return how many arrived so long after the first, each up to ``slack_s`` early."""
        first = self.arrivals_ns[0]
        times = ((at - first) / _NS + slack_s for at in self.arrivals_ns)
        return sum(start_s <= time < end_s for time in times)

    def most_in_a_second(self, since_s: float) -> int:
        """Return the most that arrived in one second, from so long after the first on."""
        last = (self.arrivals_ns[-1] - self.arrivals_ns[0]) / _NS
        whole = range(int(since_s * 10), int(last * 10))
        return max((self.within(tenth / 10, tenth / 10 + 1) for tenth in whole), default=0)

    def gap_cv(self) -> float:
        """Return the coefficient of variation of the gaps: 0 is constant, 1 is Poisson."""
        if len(self.arrivals_ns) < 2:
            return float("nan")
        gaps = [later - earlier for earlier, later in pairwise(self.arrivals_ns)]
        mean = sum(gaps) / len(gaps)
        return float((sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 / mean)


@dataclass(frozen=True)
class Mock:
    """A mock server that runs."""

    url: str
    log: Path

    def truth(self) -> Truth:
        """Read its log and its metrics."""
        entries = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:  # noqa: S310 - our own server
            text = answer.read().decode()
        total, count = (
            float(found[1])
            for name in ("sum", "count")
            if (found := re.search(rf"time_to_first_token_seconds_{name}\S* (\S+)", text))
        )
        return Truth(
            arrivals_ns=sorted(entry["arrival_ns"] for entry in entries),
            faults=sum(entry["fault"] is not None for entry in entries),
            ttft_mean_ms=1e3 * total / count if count else float("nan"),
        )


@contextmanager
def mock(folder: Path, *options: str) -> Iterator[Mock]:
    """Run a mock server with its log in ``folder``."""
    log = folder / "arrivals.jsonl"
    command = [sys.executable, "-m", "loadgen", "mock", "--port", "0", "--arrivals", str(log)]
    command += ["--ttft-ms", str(TTFT_MS), "--itl-ms", str(ITL_MS), "--max-concurrency", "100000"]
    with subprocess.Popen(
        [*command, *options], env=OURS, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stderr.readline() if process.stderr else ""
            found = re.search(r"http://\S+", line)
            if found is None:
                raise SystemExit(f"the mock server did not start: {line}")
            yield Mock(found[0], log)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    code: int
    wall_s: float
    cpu_s: float
    output: str


def timed(command: Sequence[str | Path], *, env: dict[str, str], limit_s: float) -> Cost:
    """Run a command to its end; its CPU time is that of all its processes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=limit_s, check=False
        )
        code, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        code, output = -1, f"no end within {limit_s:g} s: {error.stderr!r}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(code, time.monotonic() - start, cpu_s, output)


def machine() -> str:
    """Say what the figures were measured on, and whether it did other things too."""
    load = os.getloadavg()[0]
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return (
        f"{os.cpu_count()} cores ({model[1] if model else 'unknown'}), Python "
        f"{sys.version_info.major}.{sys.version_info.minor}; load average before the run {load:.1f}"
    )
