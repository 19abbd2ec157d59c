# SPDX-License-Identifier: Apache-2.0
"""``rca-engine evaluate``: methods on a data set, beside chance."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rca_engine.commands import Commands, new_parser, read_options, split_names
from rca_engine.model import TimeSource

if TYPE_CHECKING:
    from rich.console import Console

    from rca_engine.evaluation.evaluate import Evaluation, Progress

_EXAMPLES = """\
  rca-engine evaluate results/demo --out results/demo/evaluation
  rca-engine evaluate data/rcd_sockshop --format rcd --time oracle --late 0,30,60,120 --out out/rcd
  rca-engine evaluate data/petshop_low --format petshop --methods baro,nsigma --out out/petshop
  rca-engine evaluate data/RE2 --format rcaeval --time oracle --budget 30 --out out/re2 \\
      --executor ray --ray-address ray://head:10001

A run that was killed goes on where it was: give the same --out again. The page is
<out>/leaderboard.html, the tables are runs.parquet and summary.parquet (also as CSV).
"""
_PLAIN_EVERY_S = 10.0
_COLUMNS = ["method", "late", "AC@1", "AC@3", "AC@5", "Avg@5", "95%", "MRR", "quiet", "s", "failed"]
_PLAIN_WIDTH = 110
"""Columns of text where there is no terminal to ask."""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "evaluate", "evaluate methods on a data set", _EXAMPLES)
    parser.add_argument("dataset", type=Path)
    parser.add_argument(
        "--format",
        default="case",
        metavar="F",
        help="layout of the data set: case (default), csv, nezha, petshop, rcaeval, rcaeval-full, "
        "rcd, reference",
    )
    parser.add_argument(
        "--methods",
        action="append",
        metavar="NAMES",
        help="methods with commas; may be repeated (default: all)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument(
        "--time",
        choices=get_args(TimeSource),
        default="alert",
        help="what the methods are told: the alert's time (default), none, or, only to compare "
        "with published tables, the true time (oracle)",
    )
    parser.add_argument(
        "--late",
        default="0",
        metavar="SECONDS",
        help="how late the time told is; several with commas (default: 0)",
    )
    parser.add_argument(
        "--no-specificity",
        action="store_true",
        help="don't ask about the normal part of each case too",
    )
    parser.add_argument(
        "--executor", choices=("local", "ray"), default="local", help="where it runs"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="at a time (default: as many as there are CPUs)"
    )
    parser.add_argument("--ray-address", metavar="ADDRESS", help="default: Ray on this machine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, metavar="SECONDS", help="a run that took longer is degraded"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METHOD.OPTION=VALUE",
        help="an option of a method (rca-engine methods --json lists them)",
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the tables and the page, and print the ranking of methods."""
    from rich.console import Console

    from rca_engine import methods
    from rca_engine.evaluation.evaluate import evaluate
    from rca_engine.evaluation.plan import Options

    names = split_names(arguments.methods) or list(methods.available())
    console = Console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    with _progress(Console(stderr=True)) as progress:
        evaluation = evaluate(
            arguments.dataset,
            arguments.out,
            format=arguments.format,
            methods=names,
            options=Options(
                time=arguments.time,
                late_s=_late(arguments),
                specificity=not arguments.no_specificity,
                seed=arguments.seed,
                budget_s=arguments.budget,
                method_options=read_options(arguments.option, names),
            ),
            executor=arguments.executor,
            workers=arguments.workers,
            ray_address=arguments.ray_address,
            progress=progress,
        )
    evaluation.write(arguments.out)
    _print(console, evaluation)
    console.print(f"told: {arguments.time}", markup=False, highlight=False)
    console.print(
        f"leaderboard: {arguments.out / 'leaderboard.html'}", markup=False, soft_wrap=True
    )
    return int(bool(len(evaluation.runs)) and bool((evaluation.runs["status"] == "failed").all()))


def _late(arguments: argparse.Namespace) -> tuple[float, ...]:
    try:
        late = tuple(sorted({float(text) for text in arguments.late.split(",")}))
    except ValueError:
        arguments.parser.error(f"--late: not seconds with commas: {arguments.late!r}")
    if late[0] < 0:
        arguments.parser.error("--late: a time before the fault tells of the future")
    return late


def _print(console: Console, evaluation: Evaluation) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rca_engine.evaluation.leaderboard import widest

    for case, reason in sorted(evaluation.left_out.items()):
        console.print(f"left out: {case}: {reason}", style="yellow", markup=False)
    if evaluation.summary.empty:
        console.print("no case could be scored")
        return
    rows = widest(evaluation.summary, "component")
    for system in sorted(set(rows["system"])):
        own = rows[rows["system"] == system]
        table = Table(title=f"{system}, by component", title_justify="left", box=SIMPLE_HEAD)
        for name in _COLUMNS:
            # A figure that is cut off is none: better a line that is too long.
            table.add_column(name, no_wrap=True, justify="left" if name == "method" else "right")
        for row in own.sort_values(["late_s", "avg5"], ascending=[True, False]).to_dict("records"):
            table.add_row(
                str(row["method"]),
                f"{row['late_s']:g}",
                *(f"{row[name]:.2f}" for name in ("ac1", "ac3", "ac5", "avg5")),
                f"{row['avg5_low']:.2f}-{row['avg5_high']:.2f}",
                f"{row['mrr']:.2f}",
                f"{row['specificity']:.2f}",
                f"{row['seconds_median']:.3g}",
                str(row["failed"] or ""),
            )
        first = own.iloc[0]
        for name, title in (("chance", "chance"), ("constant", "best constant guess")):
            table.add_row(
                title,
                "",
                *(f"{first[f'{name}_{each}']:.2f}" for each in ("ac1", "ac3", "ac5", "avg5")),
                "",
                f"{first[f'{name}_mrr']:.2f}",
                style="dim",
            )
        console.print(table)
    console.print(
        "quiet: share of the normal periods in which the method said that there was nothing",
        style="dim",
    )
    failures = len(evaluation.failures)
    if failures:
        console.print(
            f"{failures} of {len(evaluation.runs)} runs failed and count 0; the reasons are in "
            f"runs.csv and on the page",
            style="yellow",
        )


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """Show a bar on a terminal, and a line every few seconds elsewhere."""
    if console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("runs", total=None)
            yield lambda done, total, case: bar.update(
                task, completed=done, total=total, description=case
            )
        return
    last = time.monotonic()

    def line(done: int, total: int, case: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_EVERY_S or done == total:
            last = time.monotonic()
            console.print(f"{done} of {total} runs, last {case}", markup=False, highlight=False)

    yield line
