# SPDX-License-Identifier: Apache-2.0
"""``loadgen compare``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from loadgen.checks import check_number
from loadgen.commands.common import EXIT_ASSERTION, EXIT_OK, number
from loadgen.comparing import CONFIDENCE, RESAMPLES, Row, cautions, compare
from loadgen.errors import saving
from loadgen.result import Result
from rcalab_common.files import write_json

USAGE = "loadgen compare BEFORE AFTER [option ...]"

DESCRIPTION = f"""\
Say how much slower or worse the second of two runs was, each figure with its interval
({CONFIDENCE:.0%}, from a bootstrap of blocks of neighbouring requests). Latencies count from the
intended time, failed requests as infinitely slow."""

EPILOG = """\
examples:
  loadgen compare results/monday results/tuesday
  fail a pipeline if a latency is more than 10 % higher, beyond doubt:
    loadgen compare results/main results/branch --worse-than 1.1

exit codes: 0; 1 there is no such run; 4 with --worse-than, a latency is worse than that
"""


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``compare``."""
    parser.set_defaults(command=_compare)
    add = parser.add_argument
    add("before", type=Path, metavar="BEFORE", help="folder of a finished run")
    add("after", type=Path, metavar="AFTER", help="folder of the run that is held against it")
    add(
        "--worse-than",
        type=float,
        metavar="RATIO",
        help="exit with 4 if the whole interval of a latency's ratio lies above this",
    )
    add("--json", type=Path, metavar="FILE", help="write the comparison here too")
    number(add, "--seed", default=0, metavar="N", text="of the bootstrap")
    number(add, "--resamples", default=RESAMPLES, metavar="N", text="how often it draws")


async def _compare(arguments: argparse.Namespace, console: Console) -> int:
    check_number("resamples", arguments.resamples, least=100, most=100_000)
    if arguments.worse_than is not None:
        check_number("worse-than", arguments.worse_than, above=0)
    first, second = Result.load(arguments.before), Result.load(arguments.after)
    warnings = cautions(first, second)
    for caution in warnings:
        console.print(f"caution: {caution}", markup=False, highlight=False)
    rows = compare(first, second, seed=arguments.seed, resamples=arguments.resamples)
    sys.stdout.write(_table(rows))
    if arguments.json is not None:
        compared = {
            "before": str(arguments.before),
            "after": str(arguments.after),
            "confidence": CONFIDENCE,
            "seed": arguments.seed,
            "resamples": arguments.resamples,
            "cautions": warnings,
            "figures": [row.to_dict() for row in rows],
        }
        with saving(arguments.json):
            write_json(arguments.json, compared)
    return EXIT_ASSERTION if _too_slow(rows, arguments.worse_than) else EXIT_OK


def _too_slow(rows: list[Row], bound: float | None) -> bool:
    return bound is not None and any(
        row.kind == "ratio" and not row.few and row.low is not None and row.low > bound
        for row in rows
    )


def _table(rows: list[Row]) -> str:
    lines = [f"{'':24}{'before':>10}{'after':>10}{'change':>10}  {'interval':20}"]
    for row in rows:
        share = row.kind == "difference"
        before, after = _cell(row.first, share), _cell(row.second, share)
        change = _change(row.change, share)
        interval = f"{_change(row.low, share)} to {_change(row.high, share)}"
        lines.append(
            f"{row.name:24}{before:>10}{after:>10}{change:>10}  {interval:20}{row.verdict}"
        )
    return "\n".join(lines) + "\n"


def _cell(value: float | None, share: bool) -> str:
    if value is None:
        return "-"
    return f"{value:.2%}" if share else f"{value:.1f}"


def _change(value: float | None, share: bool) -> str:
    if value is None:
        return "-"
    return f"{100 * value:+.2f} pp" if share else f"x{value:.3f}"
