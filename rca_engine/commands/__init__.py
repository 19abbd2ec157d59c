# SPDX-License-Identifier: Apache-2.0
"""The commands of ``rca-engine``: one file each, with ``add`` for its arguments and ``run``.

Each imports what it needs in ``run``: listing the methods need not wait for Plotly.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Protocol

from rca_engine.errors import MethodError

Commands = Any
"""What ``add_subparsers`` gives: argparse keeps its class to itself."""


class Command(Protocol):
    """A module of this package."""

    def add(self, commands: Commands) -> None:
        """Add the command's parser."""


def new_parser(
    commands: Commands, name: str, summary: str, examples: str, description: str = ""
) -> argparse.ArgumentParser:
    """Add a command whose ``--help`` ends with examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def print_json(value: object) -> None:
    """Write a value as JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def split_names(given: list[str] | None) -> list[str] | None:
    """Return names given one by one or with commas; None if none were."""
    if given is None:
        return None
    return [name for text in given for name in text.split(",") if name]


def read_options(given: list[str], names: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``METHOD.OPTION=VALUE``, and ``OPTION=VALUE`` where there is one method.

    Values are JSON; what is no JSON is text.

    Raises
    ------
    MethodError
        If one is neither, or names a method that is not among ``names``.
    """
    options: dict[str, dict[str, Any]] = {}
    for text in given:
        left, equals, value = text.partition("=")
        method, dot, option = left.rpartition(".")
        if not dot and len(names) == 1:
            method, option = names[0], left
        if not equals or not option or method not in names:
            raise MethodError(
                f"--option {text}: give METHOD.OPTION=VALUE, for a method that is to run "
                f"({', '.join(names)})"
            )
        options.setdefault(method, {})[option] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
