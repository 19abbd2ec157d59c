# SPDX-License-Identifier: Apache-2.0
"""``loadgen report``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from loadgen.commands.finish import add_finish, check_outputs, finish
from loadgen.event_feed import read_events
from loadgen.result import Result
from loadgen.write import mark

USAGE = "loadgen report DIR [option ...]"

DESCRIPTION = """\
Show a finished run, write it in other forms, hold it to assertions, or look at windows that were
marked only after it."""

EPILOG = """\
examples:
  loadgen report results/load --write html --write parquet --write vllm
  loadgen report results/load --assert 'p95_ttft_ms<500' --assert 'attainment>=99%'
  loadgen report results/load --events faults.jsonl

exit codes: 0; 1 there is no finished run, or an output can't be written; 3 with --strict, the run
is invalid by its own audit; 4 an assertion doesn't hold
"""


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``report``."""
    parser.set_defaults(command=_report)
    parser.add_argument("run", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument(
        "--events", type=Path, metavar="FILE", help="take the windows from this file instead"
    )
    add_finish(parser.add_argument)


async def _report(arguments: argparse.Namespace, _console: Console) -> int:
    check_outputs(arguments.write)
    result = Result.load(arguments.run)
    if arguments.events is not None:
        result = mark(result, read_events(arguments.events))
    return finish(result, arguments, sys.stdout)
