# SPDX-License-Identifier: Apache-2.0
"""``rca-engine methods``: what can be asked."""

from __future__ import annotations

import argparse

from rca_engine.commands import Commands, new_parser, print_json

_EXAMPLES = """\
  rca-engine methods                  # a table
  rca-engine methods --json | jq '.[] | {name, options}'
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "methods", "list the methods", _EXAMPLES)
    parser.add_argument("--json", action="store_true", help="as JSON, with each method's options")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the methods."""
    from rich.console import Console
    from rich.table import Table

    from rca_engine import methods

    known = methods.available().values()
    if arguments.json:
        print_json(
            [
                {
                    "name": each.name,
                    "summary": each.summary,
                    "sources": sorted(each.sources),
                    "paper": each.paper,
                    "options": dict(each.options),
                }
                for each in known
            ]
        )
        return 0
    table = Table("method", "reads", "what it does", "paper")
    for each in known:
        table.add_row(each.name, ", ".join(sorted(each.sources)), each.summary, each.paper)
    Console().print(table)
    return 0
