# SPDX-License-Identifier: Apache-2.0
"""``rca-engine simulate``: a synthetic case, with any fault of the simulator's catalogue."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rca_engine.commands import Commands, new_parser
from rca_engine.errors import CaseError

if TYPE_CHECKING:
    from rich.table import Table

_EXAMPLES = """\
  rca-engine simulate /tmp/case --seed 7 && rca-engine diagnose /tmp/case
  rca-engine simulate --list                  # the faults, and what they show
  rca-engine simulate /tmp/hang --fault F12 --target replica/llm-1
  rca-engine simulate /tmp/sham --sham        # all steps, no fault: the answer should be none
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "simulate", "make a synthetic case", _EXAMPLES)
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
    from rich.console import Console

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
    from rich.table import Table

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
