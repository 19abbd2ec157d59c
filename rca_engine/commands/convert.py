# SPDX-License-Identifier: Apache-2.0
"""``rca-engine convert``: cases from one layout to another."""

from __future__ import annotations

import argparse
from pathlib import Path

from rca_engine.commands import Commands, new_parser

_EXAMPLES = """\
  rca-engine convert telemetry.csv cases --format csv          # to case format 1
  rca-engine convert data/RE2 cases --format rcaeval
  rca-engine convert results/demo for-rcaeval --to rcaeval     # for RCAEval's own methods
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "convert", "write cases of one layout in another", _EXAMPLES)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, help="a folder; made if absent")
    parser.add_argument("--format", default="case", metavar="F", help="layout of the source")
    parser.add_argument("--to", default="case", metavar="F", help="case (default) or rcaeval")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert every case; one that can't be converted is told, and the others go on."""
    from rich.console import Console

    from rca_engine import formats
    from rca_engine.errors import RcaEngineError

    console, errors = Console(), Console(stderr=True)
    written = failed = 0
    for entry in formats.get(arguments.format).entries(arguments.source):
        folder = arguments.target
        if arguments.to == "case":
            folder = folder.joinpath(*entry.case_id.removesuffix(".csv").split("/"))
        try:
            path = formats.write(arguments.to, entry.load(), folder)
        except RcaEngineError as error:
            failed += 1
            errors.print(f"{entry.case_id}: {error}", style="red", markup=False, soft_wrap=True)
            continue
        written += 1
        console.print(f"case: {path}", markup=False, soft_wrap=True)
    console.print(f"{written} cases written, {failed} failed", markup=False, highlight=False)
    return int(failed > 0)
