# SPDX-License-Identifier: Apache-2.0
"""``rca-engine diagnose``: what broke, in a case or in a CSV file of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rca_engine.commands import Commands, new_parser, print_json, read_options, split_names
from rca_engine.errors import CaseError
from rca_engine.model import TimeSource

if TYPE_CHECKING:
    from rca_engine.case import Case
    from rca_engine.diagnosis import Diagnosis
    from rca_engine.model import Alert

_EXAMPLES = """\
  rca-engine diagnose results/demo/cpu/run-01 --save
  rca-engine diagnose results/demo/cpu/run-01 --method all --time none
  rca-engine diagnose telemetry.csv                       # nobody says when: it is found
  rca-engine diagnose telemetry.csv --alert-time 2026-05-04T10:12:00Z --method baro
  rca-engine diagnose run-01 --method baro --option guard_s=0 --json

A CSV file has a column "time" (epoch or ISO 8601) and a column for each series, best named
component:metric. Exit status: 0; 1 if every method failed or the input is bad; 2 for wrong usage.
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(
        commands, "diagnose", "rank the root causes of a case or of a CSV file", _EXAMPLES
    )
    parser.add_argument("case", type=Path, metavar="CASE|FILE.csv")
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="a method, several with commas, or all; may be repeated (default: baro,nsigma)",
    )
    parser.add_argument(
        "--time",
        choices=get_args(TimeSource),
        help="what the methods are told: the alert's time, none, or, only to compare with "
        "published tables, the true time (oracle); default: alert, for a CSV file without "
        "--alert-time none",
    )
    parser.add_argument(
        "--alert-time", metavar="TIME", help="when it alerted (RFC 3339), if the case doesn't say"
    )
    parser.add_argument(
        "--alert", metavar="COMPONENT:METRIC", help="what alerted, with --alert-time"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METHOD.OPTION=VALUE",
        help="an option of a method (rca-engine methods --json lists them)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, metavar="SECONDS", help="a method that took longer is degraded"
    )
    parser.add_argument("--save", action="store_true", help="write <case>/diagnosis/")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask each method, and lay the answers side by side."""
    from rca_engine import methods
    from rca_engine.diagnosis import diagnose

    case, plain = _read(arguments.case)
    if plain and arguments.save:
        raise CaseError(f"{arguments.case}: --save needs a case; make one with rca-engine convert")
    alert = _alert(arguments)
    time: TimeSource = arguments.time or ("none" if plain and alert is None else "alert")
    names = methods.choose(split_names(arguments.method))
    options = read_options(arguments.option, names)
    diagnoses = [
        diagnose(
            case,
            name,
            alert=alert,
            time=time,
            seed=arguments.seed,
            budget_s=arguments.budget,
            options=options.get(name),
        )
        for name in names
    ]
    if arguments.save:
        for each in diagnoses:
            each.write(case.path)
    failed = int(all(each.status == "failed" for each in diagnoses))
    if arguments.json:
        print_json([each.to_json() for each in diagnoses])
        return failed
    _print(case, diagnoses)
    return failed


def _read(path: Path) -> tuple[Case, bool]:
    """Return the case, and whether it is a plain file."""
    from rca_engine.case import Case

    if not path.is_file():
        return Case.load(path), False
    from rca_engine.formats.csv import read

    return read(path), True


def _alert(arguments: argparse.Namespace) -> Alert | None:
    from rca_engine.model import Alert
    from rcalab_common.times import parse_utc

    if arguments.alert_time is None:
        if arguments.alert is not None:
            raise CaseError("--alert says what alerted; say when, too, with --alert-time")
        return None
    try:
        time_ns = parse_utc(arguments.alert_time)
    except ValueError as error:
        raise CaseError(f"--alert-time: {error}") from None
    component, colon, metric = (arguments.alert or "").rpartition(":")
    if arguments.alert is not None and not (colon and component and metric):
        raise CaseError(f"--alert {arguments.alert}: give COMPONENT:METRIC")
    return Alert(time_ns, component, metric, 0.0, 0.0)


def _print(case: Case, diagnoses: list[Diagnosis]) -> None:
    from rich.console import Console

    from rca_engine.diagnosis import ranking_lines

    console = Console()
    for note in case.info.notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    for line in ranking_lines(case, diagnoses):
        # The truth stands out by its word; the colour only helps.
        style = "bold green" if "(truth)" in line else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
    for each in diagnoses:
        if each.ranking:
            console.print(each.explain(), markup=False, highlight=False, soft_wrap=True)
