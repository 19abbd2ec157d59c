# SPDX-License-Identifier: Apache-2.0
"""Show the main job: lab up, one run with a fault, diagnosis, report, lab down.

The lab comes down whatever happens in between, Ctrl-C included. With ``--runs N`` all of it is
done N times in a row, and a table of the results is written as Markdown: docs/demo-runs.md is made
like this.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine_state import Snapshot

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"


@dataclass
class Outcome:
    """What one demo run showed."""

    run: int
    report: str = ""
    effect: str = "no run"
    target: str = ""
    ranks: dict[str, int | None] = field(default_factory=dict)
    alert_after_s: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    left_over: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the effect was verified, the culprit among the top three, and nothing is left."""
        best = min((rank for rank in self.ranks.values() if rank), default=99)
        return self.effect == "effective" and best <= 3 and not self.left_over


def play(name: str, variables: dict[str, Any]) -> float:
    """Run a playbook and return its seconds; raise CalledProcessError when it fails."""
    start = time.monotonic()
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        str(ROOT / "playbooks" / f"{name}.yml"),
        "--extra-vars",
        json.dumps(variables),
    ]
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, process_group=0)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # Ansible stops as by Ctrl-C, whichever signal came here, before anything else is done.
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command)
    return time.monotonic() - start


def newest_run(experiment: str, since: float) -> Path | None:
    """Return the folder of the run that began after ``since``, if one was harvested."""
    cases = [
        p.parent
        for p in (RESULTS / experiment).glob("*/run-*/case.json")
        if p.stat().st_mtime >= since
    ]
    return max(cases, key=lambda p: p.stat().st_mtime, default=None)


def measured(experiment: str) -> int:
    """Count the repetitions that the experiment has a case of."""
    cases = (RESULTS / experiment).glob("*/run-*/case.json")
    return max(Counter(path.parent.parent.name for path in cases).values(), default=0)


def read_run(folder: Path, outcome: Outcome) -> None:
    """Take from a case what the demo tells: effect, ranks of the culprit, the alert's delay."""
    truth = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    outcome.report = str((folder / "report.html").relative_to(ROOT))
    outcome.effect = truth["outcome"]
    outcome.target = truth["target"]["component"]
    for file in sorted((folder / "diagnosis").glob("*.json")):
        diagnosis = json.loads(file.read_text(encoding="utf-8"))
        ranks = {c["component"]: c["rank"] for c in diagnosis["components"]}
        outcome.ranks[diagnosis["method"]] = ranks.get(outcome.target)
    if case["alert"] and truth["times"]["applied"]:
        from rcalab_common.times import parse_utc

        outcome.alert_after_s = (
            parse_utc(case["alert"]["time"]) - parse_utc(truth["times"]["applied"])
        ) / 1e9


def demo(number: int, variables: dict[str, Any], keep_lab: bool) -> Outcome:
    """Do the main job once; the lab comes down also when a step fails or is interrupted."""
    outcome = Outcome(number)
    before, began = Snapshot.take(), time.time()
    # An experiment does what is left of its plan; one more repetition is left, then.
    repetitions = 1 + measured(variables["experiment_name"])
    variables = {"experiment_repetitions": repetitions, **variables}
    try:
        outcome.seconds["lab up"] = play("lab_up", variables)
        outcome.seconds["run"] = play("experiment", variables)
    finally:
        if (folder := newest_run(variables["experiment_name"], began)) is not None:
            read_run(folder, outcome)
        if not keep_lab:
            outcome.seconds["lab down"] = play("lab_down", variables)
            outcome.left_over = before.left_over(Snapshot.take())
    return outcome


def row(outcome: Outcome, methods: list[str]) -> list[str]:
    """Return the cells of one outcome."""
    delay, seconds = outcome.alert_after_s, outcome.seconds
    return [
        str(outcome.run),
        outcome.effect,
        "-" if delay is None else f"{delay:.1f} s",
        *(str(outcome.ranks.get(method) or "-") for method in methods),
        *(f"{seconds[k]:.0f} s" if k in seconds else "-" for k in ("lab up", "run", "lab down")),
        "; ".join(outcome.left_over) or "nothing",
    ]


def table(outcomes: list[Outcome]) -> str:
    """Write the outcomes as a Markdown table."""
    methods = sorted({method for outcome in outcomes for method in outcome.ranks})
    head = [
        "run",
        "effect",
        "alert after",
        *(f"rank by {m}" for m in methods),
        "lab up",
        "run",
        "lab down",
        "left on the machine",
    ]
    rows = [head, ["---"] * len(head), *(row(outcome, methods) for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> int:
    """Run the demo; exit 0 when every run was good."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Example: .venv/bin/python tools/demo.py --runs 10 --write results/ten.md",
    )
    parser.add_argument(
        "--runs", type=int, default=1, help="how often, one after the other (default 1)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an Ansible variable, as YAML or text",
    )
    parser.add_argument(
        "--keep-lab", action="store_true", help="leave the lab up; `make lab-down` takes it down"
    )
    parser.add_argument(
        "--write",
        type=Path,
        help="write the table of all runs to this Markdown file, and .json beside it",
    )
    options = parser.parse_args()
    variables: dict[str, Any] = {"experiment_name": "demo", "experiment_results_dir": str(RESULTS)}
    variables |= dict(pair.split("=", 1) for pair in options.set)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    for number in range(1, options.runs + 1):
        try:
            outcomes.append(demo(number, variables, options.keep_lab))
        except subprocess.CalledProcessError:
            sys.stderr.write("\nThe demo stopped at the failure above.\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("\nInterrupted.\n")
            return 130
        if options.write:
            options.write.parent.mkdir(parents=True, exist_ok=True)
            options.write.write_text(table(outcomes) + "\n", encoding="utf-8")
            options.write.with_suffix(".json").write_text(
                json.dumps([asdict(o) for o in outcomes], indent=2), encoding="utf-8"
            )
    sys.stdout.write(f"\n{table(outcomes)}\n\n")
    for outcome in outcomes:
        sys.stdout.write(f"Report of run {outcome.run}: {outcome.report}\n")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
