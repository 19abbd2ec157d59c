# SPDX-License-Identifier: Apache-2.0
"""Measure what the watchdog of a fault holds in memory while it waits.

Beside it stand a Python that does nothing at all, and the agent that leads the fault. Needs neither
root nor a lab; prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import fault_sandbox  # noqa: E402 - a tool, not a package

_IDLE = "import time; time.sleep(120)"
_LAB = {
    "format": 1,
    "lab": "memory",
    "isolation": "none",
    "pods": [{"name": "pod", "component": fault_sandbox.REPLICA, "cgroup": None}],
}


def main() -> int:
    """Measure with every interpreter that is named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", default=[sys.executable], help="interpreters")
    lines = ["| Python | process | RSS MiB | PSS MiB |", "|---|---|---|---|"]
    for python in parser.parse_args().pythons:
        version = subprocess.check_output([python, "--version"], text=True).split()[1]
        for name, (rss, pss) in measure(python).items():
            lines.append(f"| {version} | {name} | {rss:.1f} | {pss:.1f} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def measure(python: str) -> dict[str, tuple[float, float]]:
    """Return the resident and the proportional memory of each process, in MiB."""
    marks = {"RCALAB_LAB": "memory", "RCALAB_POD": "pod"}
    with (
        tempfile.TemporaryDirectory() as name,
        _running([python, "-c", _IDLE], env={**os.environ, **marks}),
        _running([python, "-I", "-S", "-c", _IDLE]) as idle,
    ):
        folder = Path(name)
        agent = fault_sandbox.build_agent(folder / "agent.pyz")
        (folder / "pods.json").write_text(json.dumps(_LAB), encoding="utf-8")
        spec = {
            "fault": "F01",
            "target": fault_sandbox.REPLICA,
            "parameters": {"cpu_limit_cores": 1},
        }
        (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        files = {"--pods": "pods.json", "--spec": "spec.json", "--state-dir": "state"}
        options = [f"{option}={folder / file}" for option, file in files.items()]
        with _running([python, str(agent), "run", *options]) as runner:
            watchdog = _when(lambda: _watchdog(folder / "state"))
            time.sleep(1)  # it has its first looks behind it
            found = {
                "one that sleeps": _memory(idle.pid),
                "the watchdog": _memory(watchdog),
                "the agent": _memory(runner.pid),
            }
            runner.terminate()
            runner.wait(30)
    return found


@contextmanager
def _running(
    command: list[str], env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _watchdog(state: Path) -> int | None:
    for file in state.glob("windows/*/watchdog.json"):
        return int(json.loads(file.read_text(encoding="utf-8"))["pid"])
    return None


def _when(look: Callable[[], int | None]) -> int:
    end = time.monotonic() + 20
    while (found := look()) is None:
        if time.monotonic() > end:
            raise TimeoutError("no watchdog came within 20 s")
        time.sleep(0.02)
    return found


def _memory(pid: int) -> tuple[float, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    rss, pss = (int(re.findall(rf"^{name}:\s+(\d+)", text, re.M)[0]) for name in ("Rss", "Pss"))
    return rss / 1024, pss / 1024


if __name__ == "__main__":
    sys.exit(main())
