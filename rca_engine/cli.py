# SPDX-License-Identifier: Apache-2.0
"""``rca-engine``: harvest, diagnose, report.

Exit status: 0, 1 for what failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from rca_engine.errors import RcaEngineError
from rca_engine.model import TimeSource

# Commands import what they need: `rca-engine methods` need not wait for Prometheus' client or
# Plotly.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except RcaEngineError as error:
        Console(stderr=True).print(
            f"rca-engine: {error}", style="red", markup=False, soft_wrap=True
        )
        return 1
    except BrokenPipeError:
        # The reader of a pipe has seen enough; nothing is left to say, not even at exit.
        sys.stdout = None
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rca-engine",
        description="Harvest cases, rank their root causes, and report.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("methods", help="list the methods")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_methods)

    diagnosing = commands.add_parser("diagnose", help="rank the root causes of a case")
    diagnosing.add_argument("case", type=Path, help="a case directory")
    diagnosing.add_argument(
        "--method", action="append", help="a method; give it again for more (default: all)"
    )
    diagnosing.add_argument(
        "--time",
        choices=get_args(TimeSource),
        default="alert",
        help="what the methods are told: the alert's time, none, or, only to compare with "
        "published tables, the true time (oracle); default: alert",
    )
    diagnosing.add_argument("--seed", type=int, default=0)
    diagnosing.add_argument("--budget", type=float, metavar="SECONDS", help="for each method")
    diagnosing.add_argument("--save", action="store_true", help="write <case>/diagnosis/")
    diagnosing.add_argument("--json", action="store_true", help="as JSON")
    diagnosing.set_defaults(run=_diagnose)

    harvesting = commands.add_parser("harvest", help="make a case of a run's telemetry")
    harvesting.add_argument("run_dir", type=Path, help="holds load/requests.jsonl")
    harvesting.add_argument("--prometheus", required=True, metavar="URL")
    harvesting.add_argument("--pods", required=True, type=Path, help="the lab's pods.json")
    harvesting.add_argument("--start", help="RFC 3339; default: the load's first request")
    harvesting.add_argument("--end", help="RFC 3339; default: the end of the load's last request")
    harvesting.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="COMPONENT:STREAM:PATH",
        help="a log file, or a folder of them; give it again for more",
    )
    harvesting.add_argument("--scenario", default="")
    harvesting.add_argument("--seed", type=int, default=0)
    harvesting.add_argument("--engine", default="vllm")
    harvesting.add_argument("--note", action="append", default=[], help="for every reader")
    harvesting.set_defaults(run=_harvest)

    simulating = commands.add_parser("simulate", help="make a synthetic case")
    simulating.add_argument("run_dir", type=Path)
    simulating.add_argument("--seed", type=int, default=0)
    simulating.add_argument("--sham", action="store_true", help="without a fault")
    simulating.set_defaults(run=_simulate)

    reporting = commands.add_parser("report", help="write <case>/report.html")
    reporting.add_argument("case", type=Path, help="a case directory")
    reporting.set_defaults(run=_report)
    return parser


def _methods(arguments: argparse.Namespace) -> int:
    from rca_engine import methods

    if arguments.json:
        entries = [
            {
                "name": each.name,
                "summary": each.summary,
                "sources": sorted(each.sources),
                "paper": each.paper,
                "options": dict(each.options),
            }
            for each in methods.available().values()
        ]
        return _print_json(entries)
    table = Table("method", "reads", "what it does", "paper")
    for each in methods.available().values():
        table.add_row(each.name, ", ".join(sorted(each.sources)), each.summary, each.paper)
    Console().print(table)
    return 0


def _diagnose(arguments: argparse.Namespace) -> int:
    from rca_engine import methods
    from rca_engine.case import Case
    from rca_engine.diagnosis import diagnose, ranking_lines

    case = Case.load(arguments.case)
    diagnoses = [
        diagnose(case, name, time=arguments.time, seed=arguments.seed, budget_s=arguments.budget)
        for name in arguments.method or methods.available()
    ]
    if arguments.save:
        for each in diagnoses:
            each.write(case.path)
    failed = all(each.status == "failed" for each in diagnoses)
    if arguments.json:
        _print_json([each.to_json() for each in diagnoses])
        return int(failed)
    console = Console()
    for note in case.info.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
    for line in ranking_lines(case, diagnoses):
        # The truth stands out by its word; the colour only helps.
        style = "bold green" if "(truth)" in line else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
    for each in diagnoses:
        if each.ranking:
            console.print(each.explain(), markup=False, highlight=False, soft_wrap=True)
    return int(failed)


def _harvest(arguments: argparse.Namespace) -> int:
    from rca_engine.telemetry.harvest import Harvest, harvest, parse_log_source, parse_window

    case_dir = harvest(
        Harvest(
            run_dir=arguments.run_dir,
            prometheus_url=arguments.prometheus,
            pods_file=arguments.pods,
            window=parse_window(arguments.start, arguments.end),
            logs=[parse_log_source(text) for text in arguments.log],
            scenario=arguments.scenario,
            seed=arguments.seed,
            engine=arguments.engine,
            notes=arguments.note,
        )
    )
    Console().print(f"case: {case_dir}", markup=False, soft_wrap=True)
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    from rca_engine.simulate import simulate

    case_dir = simulate(arguments.run_dir, seed=arguments.seed, sham=arguments.sham)
    Console().print(f"case: {case_dir}", markup=False, soft_wrap=True)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from rca_engine.report import write_report

    Console().print(f"report: {write_report(arguments.case)}", markup=False, soft_wrap=True)
    return 0


def _print_json(value: object) -> int:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
