# SPDX-License-Identifier: Apache-2.0
"""``rca-engine report``: a page a case."""

from __future__ import annotations

import argparse
from pathlib import Path

from rca_engine.commands import Commands, new_parser

_EXAMPLES = """\
  rca-engine diagnose results/demo/cpu/run-01 --save
  rca-engine report results/demo/cpu/run-01     # reads what --save left
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "report", "write <case>/report.html", _EXAMPLES)
    parser.add_argument("case", type=Path, help="a case directory")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    from rich.console import Console

    from rca_engine.report import write_report

    Console().print(f"report: {write_report(arguments.case)}", markup=False, soft_wrap=True)
    return 0
