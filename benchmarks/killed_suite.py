# SPDX-License-Identifier: Apache-2.0
"""Run a suite, kill it with everything that it started in the middle of a run, and let it go on.

    benchmarks/killed_suite.py results/suite_rca --kill-in 7

Needs a lab that is up. The first start is killed with SIGKILL while the fault of the run with that
number is due; the second one has to do the rest. What happened is kept in ``killed.json`` of the
suite's folder, where ``suite_figures.py`` finds it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rcalab_common.files import write_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from process_tree import kill_tree  # noqa: E402 - a tool, not a package


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, kill, run again; return 0 where all that was done stayed as it was and all is done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite_dir", type=Path)
    parser.add_argument("--playbook", default="suite_rca", help="default: %(default)s")
    parser.add_argument("--kill-in", type=int, default=7, metavar="N", help="default: run 7")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an Ansible variable"
    )
    options = parser.parse_args(arguments)
    folder = options.suite_dir.resolve()
    if (folder / "plan.json").exists():
        parser.error(f"{folder} holds an experiment already: give a folder of its own")
    began = time.monotonic()
    process = start(options.playbook, folder, options.set)
    try:
        run = wait_for_run(folder, options.kill_in, process)
    finally:
        kill_tree(process.pid)
        process.wait()
    killed_after_s = time.monotonic() - began
    before = cases(folder)
    sys.stdout.write(f"\nKilled in {run}, with {len(before)} runs done. Once more.\n\n")
    second = time.monotonic()
    status = start(options.playbook, folder, options.set).wait()
    after = cases(folder)
    untouched = all(after.get(name) == stamp for name, stamp in before.items())
    write_json(
        folder / "killed.json",
        {
            "format": 1,
            "run": run,
            "done_before": len(before),
            "untouched": untouched,
            "first_start_s": round(killed_after_s),
            "second_start_s": round(time.monotonic() - second),
            "status": status,
        },
    )
    sys.stdout.write(f"\n{len(after)} runs done; those of before untouched: {untouched}\n")
    return 0 if status == 0 and untouched else 1


def start(playbook: str, folder: Path, pairs: list[str]) -> subprocess.Popen[bytes]:
    """Start the suite."""
    variables = {"suite_dir": str(folder), **dict(pair.split("=", 1) for pair in pairs)}
    return subprocess.Popen(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            str(ROOT / "playbooks" / f"{playbook}.yml"),
            "--extra-vars",
            json.dumps(variables),
        ],
        cwd=ROOT,
        start_new_session=True,
    )


def wait_for_run(folder: Path, number: int, process: subprocess.Popen[bytes]) -> str:
    """Return the id of a run once its baseline has passed and its fault is due."""
    while not (folder / "plan.json").exists():
        look_after(process)
    run: dict[str, Any] = json.loads((folder / "plan.json").read_text("utf-8"))["runs"][number - 1]
    records = folder / run["id"] / "load" / "requests.jsonl"
    while not records.exists():
        look_after(process)
    due = time.monotonic() + run["baseline_s"] + 5
    while time.monotonic() < due:
        look_after(process)
    return str(run["id"])


def look_after(process: subprocess.Popen[bytes]) -> None:
    """Wait a moment, and give up where the suite has ended."""
    time.sleep(0.2)
    if process.poll() is not None:
        raise SystemExit("The suite ended before the run in which it was to be killed.")


def cases(folder: Path) -> dict[str, int]:
    """Return the time of each case by the run's id."""
    return {
        path.parent.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.glob("*/run-*/case.json")
    }


if __name__ == "__main__":
    sys.exit(main())
