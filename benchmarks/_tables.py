# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown, and the places in the documentation that they are kept in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

DASH = "\N{EN DASH}"


def header(names: Sequence[str]) -> Iterable[str]:
    """Yield a table's head."""
    yield line(*names)
    yield "|" + "---|" * len(names)


def line(*cells: str) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def insert(path: Path, name: str, text: str) -> None:
    """Put text into a file, between the markers of that name.

    Raises
    ------
    SystemExit
        If it has no such markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = path.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise SystemExit(f"{path}: no place marked for these figures ({begin} and {end})")
    before, after = whole.split(begin)[0], whole.split(end)[1]
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
