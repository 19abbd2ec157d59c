# SPDX-License-Identifier: Apache-2.0
"""Run the stages of the checks one after the other and sum up what they found.

A stage is a target of the Makefile. A stage that fails does not stop the next one. Stages that
leave JUnit files count by their tests, the others as one test each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
# Of what failed, enough to know where to look; the log has the rest.
_FAILURE_WIDTH = 300
_FAILURES_SHOWN = 10


@dataclass(frozen=True)
class StageResult:
    """What one stage found: counts by outcome, what failed and why, and how long it took."""

    name: str
    status: int
    seconds: float
    counts: Counter[str]
    failures: tuple[str, ...]


def read_outcomes(files: Iterable[Path]) -> tuple[Counter[str], tuple[str, ...]]:
    """Count the cases of JUnit files as passed, failed or skipped, and say which failed and why."""
    counts: Counter[str] = Counter()
    failures = []
    for file in sorted(files):
        for case in ElementTree.parse(file).iter("testcase"):  # noqa: S314 (own files)
            problem = case.find("failure")
            if problem is None:
                problem = case.find("error")
            if problem is not None:
                counts["failed"] += 1
                reason, _, _rest = problem.get("message", "").partition("\n")
                failures.append(f"{case.get('name')}: {reason}"[:_FAILURE_WIDTH])
            elif case.find("skipped") is not None:
                counts["skipped"] += 1
            else:
                counts["passed"] += 1
    return counts, tuple(failures)


def run_stage(name: str, junit: Path, *variables: str, title: str = "") -> StageResult:
    """Run ``make NAME VARIABLE=VALUE...`` and read what it left under ``junit``."""
    title = title or name
    junit.mkdir(parents=True, exist_ok=True)
    for old in junit.glob("*.xml"):
        old.unlink()
    print(f"\n=== {title} ===", flush=True)
    started = time.monotonic()
    command = ["make", "--no-print-directory", f"--directory={ROOT}", name, *variables]
    status = subprocess.run(command, check=False).returncode
    counts, failures = read_outcomes(junit.glob("*.xml"))
    if not counts or (status and not counts["failed"]):
        counts["failed" if status else "passed"] += 1
    return StageResult(title, status, time.monotonic() - started, counts, failures)


def describe(counts: Counter[str]) -> str:
    """Write counts as pytest does: ``3 passed, 1 failed, 2 skipped``."""
    parts = [f"{counts['passed']} passed", f"{counts['failed']} failed"]
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} skipped")
    return ", ".join(parts)


def sum_up(results: Sequence[StageResult]) -> int:
    """Print a table of what the stages found; return 1 if any failed."""
    print("\n=== summary ===")
    for result in results:
        verdict = "FAILED" if result.status else "ok"
        print(f"{result.name:14}{verdict:8}{result.seconds:6.0f} s  {describe(result.counts)}")
        for failure in result.failures[:_FAILURES_SHOWN]:
            print(f"    {failure}")
        if (more := len(result.failures) - _FAILURES_SHOWN) > 0:
            print(f"    and {more} more")
    total = sum((result.counts for result in results), Counter[str]())
    print(f"{describe(total)} in {sum(result.seconds for result in results):.0f} s")
    return int(any(result.status for result in results))


def main() -> int:
    """Run the stages named on the command line; return 1 if any failed."""
    parser = argparse.ArgumentParser(description="Run stages of the Makefile and sum them up.")
    parser.add_argument("--junit", type=Path, required=True, help="where stages leave JUnit files")
    parser.add_argument("stages", nargs="+", metavar="STAGE", help="a target of the Makefile")
    options = parser.parse_args()

    return sum_up([run_stage(name, options.junit) for name in options.stages])


if __name__ == "__main__":
    sys.exit(main())
