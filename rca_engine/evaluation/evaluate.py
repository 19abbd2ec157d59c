# SPDX-License-Identifier: Apache-2.0
"""Evaluate methods on a data set: plan, run what is not known yet, and sum up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from rca_engine import methods as registry
from rca_engine.errors import RcaEngineError
from rca_engine.evaluation import execute
from rca_engine.evaluation.leaderboard import write_leaderboard
from rca_engine.evaluation.plan import Options, Task, plan
from rca_engine.evaluation.store import Document, Store
from rca_engine.evaluation.summary import run_table, summarise
from rcalab_common.files import whole_file, write_json

Executor = Literal["local", "ray"]
Progress = Callable[[int, int, str], None]
"""Told how many runs are done, of how many, and which case was the last."""

_MOST_WORKERS = 61


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    dataset, format_name, options
        What was asked.
    runs
        One row a run: case, method, what it was told, its answer's rank and hits, its cost.
    summary
        One row for each method, time, level (component or metric), system and fault; ``*`` stands
        for all of them. See ``docs/evaluation.md`` for the columns.
    left_out
        Case to the reason for which it was not scored.
    """

    dataset: str
    format_name: str
    options: Options
    runs: pd.DataFrame
    summary: pd.DataFrame
    left_out: Mapping[str, str]

    @property
    def failures(self) -> pd.DataFrame:
        """The runs that failed, each with its reason; they count 0."""
        failed = self.runs[self.runs["status"] == "failed"]
        return failed[["case", "method", "time_source", "late_s", "part", "reason"]]

    def write(self, folder: Path | str) -> Path:
        """Write tables (Parquet, CSV), ``summary.json`` and ``leaderboard.html``, each whole."""
        out = Path(folder)
        for name, table in (("runs", self.runs), ("summary", self.summary)):
            with whole_file(out / f"{name}.parquet") as temporary:
                table.to_parquet(temporary, index=False)
            with whole_file(out / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False)
        write_json(
            out / "summary.json",
            {
                "format": 1,
                "dataset": self.dataset,
                "layout": self.format_name,
                "time_source": self.options.time,
                "late_s": list(self.options.late_s),
                "seed": self.options.seed,
                "budget_s": self.options.budget_s,
                "left_out": dict(self.left_out),
                "failed_runs": len(self.failures),
                "rows": _records(self.summary),
            },
        )
        write_leaderboard(self, out / "leaderboard.html")
        return out


def evaluate(
    dataset: Path | str,
    out: Path | str,
    *,
    format: str = "case",  # noqa: A002 - the word that a user knows it by
    methods: Iterable[str] | None = None,
    options: Options | None = None,
    executor: Executor = "local",
    workers: int | None = None,
    ray_address: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate methods on a data set.

    Results are kept in ``<out>/results`` as they come: after a kill, the same call goes on where it
    was, and a result whose data, code or options changed is computed anew.

    Parameters
    ----------
    dataset
        A folder (or file) of cases.
    out
        Folder for results, tables and the leaderboard; made if absent.
    format
        Layout of the data set, see ``rca_engine.formats``.
    methods
        Their names; all if None.
    options
        What to tell the methods, and what else to ask.
    executor
        ``local``: processes on this machine; ``ray``: a Ray cluster.
    workers
        At most so many at a time; by default the CPUs that this process may use.
    ray_address
        The cluster's address; None starts Ray on this machine.
    progress
        Called after each case.

    Returns
    -------
    Evaluation
        Tables in a fixed order, the same for any number of workers apart from times and memory.

    Raises
    ------
    RcaEngineError
        If the data set, the methods or the cluster can't be had.
    """
    options, root, target = options or Options(), Path(dataset), Path(out)
    if not root.exists():
        raise RcaEngineError(f"{root}: no such data set")
    if workers is not None and workers < 1:
        raise RcaEngineError(f"{workers} workers can do nothing; give at least 1")
    chosen = list(registry.available() if methods is None else methods)
    tasks = plan(root, format, chosen, options, target)
    store = Store(target / "results")
    documents, facts = _collect(
        tasks, store, _executor(executor, workers, ray_address, store), progress
    )
    runs = run_table(documents, facts)
    left_out = {each["case"]: each["left_out"] for each in facts.values() if each["left_out"]}
    return Evaluation(
        dataset=str(root),
        format_name=format,
        options=options,
        runs=runs,
        summary=summarise(runs, seed=options.seed),
        left_out=left_out,
    )


def _executor(
    kind: Executor, workers: int | None, address: str | None, store: Store
) -> Callable[[Sequence[Task]], Iterator[execute.Results]]:
    if kind == "ray":
        return lambda tasks: execute.ray(tasks, workers, address, store)
    count = workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    return lambda tasks: execute.local(tasks, count, store)


def _collect(
    tasks: Sequence[Task],
    store: Store,
    run: Callable[[Sequence[Task]], Iterator[execute.Results]],
    progress: Progress | None,
) -> tuple[list[Document], dict[str, Document]]:
    """Return every run's document and every case's facts, running only what is not kept yet."""
    known: dict[str, Document] = {}
    pending = []
    for task in tasks:
        keys = [task.facts_key, *(each.key for each in task.runs)]
        found = {key: document for key in keys if (document := store.read(key)) is not None}
        known |= found
        scored = found.get(task.facts_key, {}).get("left_out") is None
        missing = tuple(each for each in task.runs if each.key not in found)
        if task.facts_key not in found or (scored and missing):
            pending.append(replace(task, runs=missing))
    total = sum(len(task.runs) for task in tasks)
    done = total - sum(len(task.runs) for task in pending)
    runs_of = {task.facts_key: len(task.runs) for task in pending}
    for results in run(pending) if pending else ():
        for key, document in results:
            if key not in known:
                store.write(key, document)
            known[key] = document
            done += runs_of.pop(key, 0)
        if progress is not None and results:
            progress(done, total, str(results[0][1]["case"]))
    documents = [known[each.key] for task in tasks for each in task.runs if each.key in known]
    facts = {task.entry.case_id: known[task.facts_key] for task in tasks if task.facts_key in known}
    return documents, facts


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
