# SPDX-License-Identifier: Apache-2.0
"""``rca-engine simulate``: its arguments and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rca_engine.errors import CaseError

# The simulator itself is imported on use, so that other commands need not wait for it.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "run_dir", type=Path, nargs="?", help="the case's directory; made if absent"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="everything follows from it; default: 0"
    )
    parser.add_argument("--fault", default="F01", metavar="ID", help="see --list; default: F01")
    parser.add_argument("--target", metavar="COMPONENT", help="what it hits, if not its default")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="parameters",
        help="a parameter of the fault; give it again for more",
    )
    parser.add_argument("--sham", action="store_true", help="without a dose")
    parser.add_argument("--replicas", type=int, metavar="N", help="default: 3")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the case, or list the faults; return the exit status.

    Raises
    ------
    CaseError
        If there is no directory to write to, or what was asked for does not exist.
    """
    console = Console()
    if arguments.list:
        console.print(_listing())
        return 0
    if arguments.run_dir is None:
        raise CaseError("name a directory for the case, or give --list")
    from rca_engine.simulator import simulate

    case_dir = simulate(
        arguments.run_dir,
        seed=arguments.seed,
        sham=arguments.sham,
        fault=arguments.fault,
        target=arguments.target,
        parameters=dict(map(_parameter, arguments.parameters)),
        replicas=arguments.replicas,
    )
    console.print(f"case: {case_dir}", markup=False, soft_wrap=True)
    return 0


def _listing() -> Table:
    from rca_engine.simulator import catalogue

    table = Table("id", "fault", "hits", "parameters", "symptoms")
    for row in catalogue.rows():
        table.add_row(*row)
    return table


def _parameter(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise CaseError(
            f"a parameter has the form NAME=VALUE with a number, got {text!r}"
        ) from None
