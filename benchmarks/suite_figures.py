# SPDX-License-Identifier: Apache-2.0
"""Write what a suite has shown as Markdown: its runs, the evaluation, and what a kill cost.

    benchmarks/suite_figures.py results/suite_rca --into docs/experiments.md

``--into`` puts it between the markers of a Markdown file; without it, it is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _tables import DASH, header, insert, line

from rca_engine.model import NS
from rca_engine.report.experiment import Answer, Experiment, Measured, read_experiment
from rca_engine.report.index import totals

_REFERENCES = (("chance", "chance"), ("constant", "best constant guess"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite_dir", type=Path)
    parser.add_argument("--into", type=Path, metavar="FILE.md")
    options = parser.parse_args(arguments)
    text = "\n".join(figures(options.suite_dir))
    if options.into:
        insert(options.into, "suite", text)
    else:
        sys.stdout.write(f"{text}\n")
    return 0


def figures(folder: Path) -> Iterator[str]:
    """Yield the lines."""
    experiment = read_experiment(folder)
    yield "### What was run"
    yield ""
    yield summary(experiment)
    if (folder / "killed.json").exists():
        yield killed(json.loads((folder / "killed.json").read_text("utf-8")))
    yield ""
    yield from runs(experiment)
    yield ""
    yield "### Which method named it first"
    yield ""
    yield from evaluation(folder, experiment)


def summary(experiment: Experiment) -> str:
    """Say how many runs there are, how long they took, and what does not count."""
    infos = [run.case.info for run in experiment.measured]
    start = min(info.window.start_ns for info in infos)
    end = max(info.window.end_ns for info in infos)
    versions = sorted({f"{key} {value}" for info in infos for key, value in info.versions.items()})
    planned = len(experiment.measured) + len(experiment.missing)
    aside = ", ".join(f"{each.run} ({each.kind}: {each.reason})" for each in experiment.set_aside)
    return (
        f"{len(infos)} of {planned} runs on the engine {infos[0].engine} "
        f"({', '.join(versions) or 'no versions recorded'}), from the first load to the last in "
        f"{(end - start) / NS / 60:.0f} minutes. "
        f"Attempts that do not count: {aside or 'none'}."
    )


def killed(told: dict[str, Any]) -> str:
    """Say what a kill in the middle cost."""
    kept = "stayed as they were" if told["untouched"] else "did NOT stay as they were"
    return (
        f"The suite was killed with everything that it had started in {told['run']}, after "
        f"{told['first_start_s'] / 60:.0f} minutes. The {told['done_before']} runs that were done "
        f"{kept}; the same command did the rest in {told['second_start_s'] / 60:.0f} minutes."
    )


def runs(experiment: Experiment) -> Iterator[str]:
    """Yield a row for each run, in the order in which they were done."""
    methods = experiment.methods
    yield from header(["#", "run", "alert after", *(f"first by {name}" for name in methods)])
    for number, run in enumerate(experiment.measured, start=1):
        alert = DASH if run.alert_after_s is None else f"{run.alert_after_s:.1f} s"
        yield line(str(number), run.id, alert, *(answer(run, name) for name in methods))
    yield ""
    yield "Shams have no fault for an alert to count from: theirs counts from the run's start."


def answer(run: Measured, method: str) -> str:
    """Write what a method said of a run; what was right is in bold."""
    given: Answer | None = run.answers.get(method)
    if given is None or given.status == "failed":
        return DASH if given is None else "failed"
    if given.first is None:
        return "**nothing**" if run.kind == "sham" else "nothing"
    if run.kind == "fault" and given.rank == 1:
        return f"**{given.first}**"
    return f"{given.first} (true: {given.rank or 'not named'})" if given.rank else given.first


def evaluation(folder: Path, experiment: Experiment) -> Iterator[str]:
    """Yield the leaderboard by component, beside chance, and what methods said of the shams."""
    path = folder / "evaluation" / "summary.json"
    if not path.exists():
        raise SystemExit(f"{folder} has no evaluation: ansible-playbook playbooks/evaluate.yml")
    rows = [
        row
        for row in json.loads(path.read_text("utf-8"))["rows"]
        if row["level"] == "component" and row["fault"] == "*" and row["system"] != "*"
    ]
    if not rows:
        raise SystemExit(f"{path}: no case could be scored")
    quiet = {each.method: each.quiet for each in totals(experiment)}
    faults = sorted({run.case.truth.name for run in experiment.of_kind("fault") if run.case.truth})
    yield f"{rows[0]['cases']} faults ({', '.join(faults)}), told the alert's time."
    yield ""
    yield from header(
        ["method", "AC@1", "AC@3", "Avg@5 (95 %)", "MRR", "quiet", "quiet on shams", "s", "failed"]
    )
    for row in sorted(rows, key=lambda row: (-row["avg5"], row["method"])):
        yield line(
            row["method"],
            share(row["ac1"]),
            share(row["ac3"]),
            f"**{share(row['avg5'])}** ({share(row['avg5_low'])} to {share(row['avg5_high'])})",
            share(row["mrr"]),
            share(row["specificity"]),
            quiet.get(row["method"], ""),
            f"{row['seconds_median']:.3g}" if row["seconds_median"] is not None else DASH,
            str(row["failed"] or ""),
        )
    for key, title in _REFERENCES:
        avg5, mrr = share(rows[0][f"{key}_avg5"]), share(rows[0][f"{key}_mrr"])
        one, three = share(rows[0][f"{key}_ac1"]), share(rows[0][f"{key}_ac3"])
        yield line(f"*{title}*", one, three, avg5, mrr, "", "", "", "")


def share(value: float | None) -> str:
    """Write a figure from 0 to 1."""
    return DASH if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
