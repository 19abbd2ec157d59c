# SPDX-License-Identifier: Apache-2.0
"""The leaderboard as lines of text, where there is no page to look at."""

from __future__ import annotations

import pandas as pd

from rca_engine.evaluation.leaderboard import widest

_HEAD = ("method", "AC@1", "AC@3", "Avg@5", "95%", "quiet", "failed")
_REFERENCES = (("chance", "chance"), ("constant", "best constant guess"))


def summary_lines(summary: pd.DataFrame) -> list[str]:
    """Return a table a system: the methods by Avg@5 of the component, then chance.

    ``quiet`` is the share of the normal periods in which a method said that there was nothing.
    """
    if summary.empty:
        return ["no case could be scored"]
    rows = widest(summary, "component")
    lines = []
    for system in sorted(set(rows["system"])):
        own = rows[rows["system"] == system]
        own = own.sort_values(["late_s", "avg5"], ascending=[True, False])
        lines += [f"{system}, by component", *_table(own)]
    return lines


def _table(rows: pd.DataFrame) -> list[str]:
    cells: list[tuple[str, ...]] = [_HEAD]
    for row in rows.to_dict("records"):
        late = f" ({row['late_s']:g} s late)" if row["late_s"] else ""
        cells.append(
            (
                f"{row['method']}{late}",
                *(f"{row[name]:.2f}" for name in ("ac1", "ac3", "avg5")),
                f"{row['avg5_low']:.2f}-{row['avg5_high']:.2f}",
                "" if pd.isna(row["specificity"]) else f"{row['specificity']:.2f}",
                str(row["failed"] or ""),
            )
        )
    first = rows.iloc[0]
    for key, title in _REFERENCES:
        figures = (f"{first[f'{key}_{name}']:.2f}" for name in ("ac1", "ac3", "avg5"))
        cells.append((title, *figures, "", "", ""))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
