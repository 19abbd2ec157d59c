# SPDX-License-Identifier: Apache-2.0
"""``loadgen merge``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from loadgen.commands.finish import add_finish, check_outputs, finish
from loadgen.merging import merge

USAGE = "loadgen merge DIR DIR ... --out DIR [option ...]"

DESCRIPTION = """\
Put the shards of one load (loadgen run --shard) together: records and figures as one machine that
sent all of it would have written them."""

EPILOG = """\
example:
  loadgen run --url http://llm:8000 --rate 300 --duration 5m --shard 0/2 --start-at $START --out a
  loadgen run --url http://llm:8000 --rate 300 --duration 5m --shard 1/2 --start-at $START --out b
  loadgen merge a b --out whole --write html

It refuses shards of different loads, and a part of the shards: equal schedule hashes show that all
machines computed the same. Times are each machine's own: keep their clocks together (chrony, NTP).
"""


def add_merge(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``merge``."""
    parser.set_defaults(command=_merge)
    parser.add_argument("shards", nargs="+", type=Path, metavar="DIR", help="folder of a shard")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the whole run"
    )
    parser.add_argument("--force", action="store_true", help="replace a finished run in it")
    add_finish(parser.add_argument)


async def _merge(arguments: argparse.Namespace, _console: Console) -> int:
    check_outputs(arguments.write)
    result = merge(arguments.shards, arguments.out, force=arguments.force)
    return finish(result, arguments, sys.stdout)
