# SPDX-License-Identifier: Apache-2.0
"""Choose a topology-aware method for PetShop by its train issues alone, then ask it about the test.

    benchmarks/petshop_choice.py DATA/petshop_low --into docs/evaluation.md

``GRID`` is all that is tried. The best on train has the highest top-1, the mean of latency and
availability issues; of equals the one that stays quiet most often when nothing happened; of equals
the simplest. It alone is asked about the test issues.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from _tables import header, insert, line
from rca_figures import pick, share

from rca_engine.evaluation.plan import Options, plan
from rca_engine.evaluation.store import Document
from rca_engine.evaluation.summary import run_table, summarise
from rca_engine.evaluation.work import work

Scores = Mapping[str, pd.Series]
"""A row of the summary for each kind of issue."""
KINDS = ("latency", "availability")
HORIZON = (None, 30.0)
GRID: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "microscope": {"horizon_s": HORIZON},
    "monitorrank": {"horizon_s": HORIZON, "rho": (0.0, 0.1)},
    "microrca": {"horizon_s": HORIZON, "alpha": (1.0, 0.55)},
    "traversal": {
        "horizon_s": HORIZON,
        "level": (0.95, 0.99),
        "recent_s": (0.0, 300.0),
        "traffic": (None, "requests_sum"),
        "threshold": (0.5, 0.8),
    },
}
"""The simpler method first, and of each option the simpler value: one that needs no part, else the
one that is usual."""
REASONS = {
    "horizon_s": "the incident is all that follows the alert, or two rows, for it may end before "
    "the data do",
    "rho": "the walk never turns back to a caller, or sometimes does, lest it be caught at a "
    "callee that is well",
    "alpha": "a call to an anomalous component counts in full, or as much as in MicroRCA's paper",
    "level": "unusual is what one normal window in 20, or in 100, shows: a percentile of a few "
    "requests jumps often",
    "recent_s": "a symptom may be as old as it likes, or must have begun with the alert",
    "traffic": "a component's symptom counts as such, or by the requests that suffered from it: "
    "what hardly anybody calls can't explain an alert on the front",
    "threshold": "a fault is named where it is as likely as not, or only where it is likely",
}


@dataclass(frozen=True)
class Choice:
    """A method with its options; ``parts`` says how many of these are not at their simplest."""

    method: str
    options: Mapping[str, Any]
    parts: int

    @property
    def title(self) -> str:
        """The options in one line."""
        return ", ".join(f"`{name}={value}`" for name, value in self.options.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, ask about the test, and print both as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the PetShop data (petshop_low)")
    parser.add_argument("--into", type=Path, metavar="FILE.md", help="put the tables there too")
    options = parser.parse_args(arguments)
    grid = list(choices())
    trained = list(zip(grid, asked(options.data, "train", grid), strict=True))
    best, train = max(trained, key=lambda each: standing(*each))
    [test] = asked(options.data, "test", [best])
    text = "\n".join(tables(trained, best, train, test))
    sys.stdout.write(f"{text}\n")
    if options.into:
        insert(options.into, "petshop-choice", text)
    return 0


def choices() -> Iterator[Choice]:
    """Yield all of the grid."""
    for method, values in GRID.items():
        for combination in itertools.product(*values.values()):
            chosen = dict(zip(values, combination, strict=True))
            parts = sum(chosen[name] != simplest for name, (simplest, *_) in values.items())
            yield Choice(method, chosen, parts)


def asked(data: Path, split: str, chosen: Sequence[Choice]) -> list[Scores]:
    """Return each choice's summary of one split's issues; an issue is read once for all."""
    [folder] = data.glob(f"*/{split}")
    plans = [
        plan(
            folder,
            "petshop",
            [choice.method],
            Options("alert", method_options={choice.method: choice.options}),
            ignore=folder / "diagnosis",
        )
        for choice in chosen
    ]
    known: dict[str, Document] = {}
    for tasks in zip(*plans, strict=True):
        sys.stderr.write(f"{tasks[0].entry.case_id}\n")
        runs = tuple(run for task in tasks for run in task.runs)
        known |= work(replace(tasks[0], runs=runs))
    facts = {task.entry.case_id: known[task.facts_key] for task in plans[0]}
    return [
        by_kind([known[run.key] for task in tasks for run in task.runs], facts) for tasks in plans
    ]


def by_kind(documents: Sequence[Document], facts: Mapping[str, Document]) -> Scores:
    """Return the summary of one choice's results by kind of issue."""
    rows = summarise(run_table(documents, facts), seed=0)
    found = {kind: pick(rows, level="component", fault=kind) for kind in KINDS}
    return {kind: row for kind, row in found.items() if row is not None}


def standing(choice: Choice, train: Scores) -> tuple[float, float, int, int]:
    """Return what the best has most of."""
    top, quiet = (sum(float(row[key]) for row in train.values()) for key in ("ac1", "specificity"))
    return top, quiet, -list(GRID).index(choice.method), -choice.parts


def tables(
    trained: Sequence[tuple[Choice, Scores]], best: Choice, train: Scores, test: Scores
) -> Iterable[str]:
    """Yield the choice with its scores, then the whole grid with its scores on train."""
    columns = ["latency", "availability", "quiet: latency", "availability"]
    equal = sum(standing(*each)[:2] == standing(best, train)[:2] for each in trained)
    yield f"Chosen, the simplest of {equal} that are best on train: {best.method}, {best.title}."
    yield "Top-1 / top-3, and how often quiet:"
    yield ""
    yield from header(["split", *columns])
    for name, split in (("train", train), ("test", test)):
        hits = [f"{share(split[kind], 'ac1')} / {share(split[kind], 'ac3')}" for kind in KINDS]
        yield line(name, *hits, *(share(split[kind], "specificity") for kind in KINDS))
    yield ""
    yield f"All {len(trained)} that were tried, on train: top-1, and how often quiet. Options:"
    yield ""
    for name, reason in REASONS.items():
        values = next(options[name] for options in GRID.values() if name in options)
        yield f"- `{name}` {' or '.join(map(str, values))}: {reason}."
    yield ""
    yield from header(["method", "options", *columns])
    for choice, split in sorted(trained, key=lambda each: standing(*each), reverse=True):
        figures = [share(split[kind], key) for key in ("ac1", "specificity") for kind in KINDS]
        yield line(choice.method, choice.title, *figures)
    yield ""


if __name__ == "__main__":
    sys.exit(main())
