# SPDX-License-Identifier: Apache-2.0
"""What a source gave: rows of one table of the case, and the record of how they were got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rca_engine.schemas.tables import TABLES

_NAMED = 5
"""How many of a kind a warning names."""


@dataclass(frozen=True)
class Gathered:
    """Rows of a table, and what the manifest says of them.

    Parameters
    ----------
    table
        Name of the table.
    rows
        In the order of its columns.
    queries
        One entry a request: ``query``, ``rows``, ``status``, ``seconds``, ``bytes``.
    warnings
        For the manifest.
    facts
        What else the manifest says: ``expected`` and ``received``, ``unfetched`` and the like.
    calls
        (caller, callee) of calls between components that were seen.
    """

    table: str
    rows: Sequence[tuple[Any, ...]]
    queries: Sequence[Mapping[str, Any]] = ()
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    calls: frozenset[tuple[str, str]] = frozenset()

    def manifest(self) -> dict[str, Any]:
        """Return the source's entry in the manifest."""
        return {
            "queries": list(self.queries),
            "rows": len(self.rows),
            "warnings": list(self.warnings),
            **self.facts,
        }


def columns(table: str, rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Turn rows into the columns of a table, in order of their time."""
    names = TABLES[table].names
    time = names.index("start" if table == "traces" else "timestamp")
    ordered = sorted(rows, key=lambda row: (row[time], *map(str, row[:3])))
    return {name: [row[place] for row in ordered] for place, name in enumerate(names)}


def unplaced(what: str, counts: Mapping[str, int]) -> list[str]:
    """Say what belongs to no component and so is not in the case; nothing if all has its place."""
    if not counts:
        return []
    most = Counter(counts).most_common(_NAMED)
    named = ", ".join(f"{name} ({count})" for name, count in most)
    more = f" and {len(counts) - len(most)} more" if len(counts) > len(most) else ""
    return [
        (
            f"{sum(counts.values())} {what} belong to no component and were left out: "
            f"{named}{more}; name it under `components` in the settings to keep them"
        )
    ]
