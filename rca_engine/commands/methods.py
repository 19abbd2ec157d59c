# SPDX-License-Identifier: Apache-2.0
"""``rca-engine methods``: what can be asked."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rca_engine.commands import Commands, new_parser, print_json

if TYPE_CHECKING:
    from rca_engine.methods import Method

_EXAMPLES = """\
  rca-engine methods                  # a table
  rca-engine methods --json | jq '.[] | {name, options}'
"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = new_parser(commands, "methods", "list the methods", _EXAMPLES)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="as JSON, with each method's options")
    how.add_argument("--markdown", action="store_true", help="as docs/methods.md has it")
    parser.set_defaults(run=run)


def as_markdown() -> str:
    """Return the catalogue as a page: a section a method, with its options and their defaults."""
    from rca_engine import methods

    return "\n".join(_section(each) for each in methods.available().values())


def _section(method: Method) -> str:
    options = ", ".join(f"`{name}={value!r}`" for name, value in method.options.items())
    lines = [
        f"### `{method.name}`",
        "",
        f"{method.summary} Reads {', '.join(sorted(method.sources))}. Source: {method.paper}.",
        *([f"Options: {options}."] if options else []),
    ]
    return "\n".join(lines) + "\n"


def run(arguments: argparse.Namespace) -> int:
    """List the methods."""
    from rich.console import Console
    from rich.table import Table

    from rca_engine import methods

    known = methods.available().values()
    if arguments.markdown:
        sys.stdout.write(as_markdown())
        return 0
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
