# SPDX-License-Identifier: Apache-2.0
"""``rca-engine report``: a page for a case, or one that leads to all runs of an experiment."""

from __future__ import annotations

import argparse
from pathlib import Path

from rca_engine.commands import Commands, new_parser

_EXAMPLES = """\
  rca-engine diagnose results/demo/cpu/run-01 --save
  rca-engine report results/demo/cpu/run-01     # reads what --save left
  rca-engine report results/demo --index        # every run of an experiment, with its totals
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "report", "write <case>/report.html", _EXAMPLES)
    parser.add_argument("case", type=Path, help="a case directory, or an experiment's")
    parser.add_argument(
        "--index", action="store_true", help="write <experiment>/index.html over all its runs"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    from rich.console import Console

    from rca_engine.report import write_index, write_report

    written = write_index(arguments.case) if arguments.index else write_report(arguments.case)
    Console().print(f"report: {written}", markup=False, soft_wrap=True)
    return 0
