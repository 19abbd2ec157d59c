# SPDX-License-Identifier: Apache-2.0
"""Numbers, units and times as a person reads them."""

from __future__ import annotations

import math

MISSING = "—"
"""What stands where there is no value."""

_PREFIXES = ("", "k", "M", "G", "T", "P")


def number(value: float | None) -> str:
    """Write a number with three significant digits, thousands grouped; None and NaN as a dash."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    magnitude = abs(value)
    if magnitude >= 1e9 or 0 < magnitude < 1e-3:
        return f"{value:.2e}"
    if magnitude >= 100:
        return f"{value:,.0f}"
    text = f"{value:#.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float | None, unit: str | None) -> str:
    """Write a number with its unit: bytes with decimal prefixes, as on the charts."""
    if value is None or math.isnan(value) or unit in (None, "", "1"):
        return number(value)
    if math.isfinite(value) and (unit == "bytes" or unit.startswith("bytes/")):
        return _bytes(value, unit.removeprefix("bytes"))
    return f"{number(value)} {unit}"


def _bytes(value: float, per: str) -> str:
    power = min(int(math.log(abs(value), 1000)), len(_PREFIXES) - 1) if abs(value) >= 1 else 0
    return f"{number(value / 1000**power)} {_PREFIXES[power]}B{per}"


def seconds(value: float | None) -> str:
    """Write a time since the start of the run, or a length of time, in seconds."""
    if value is None:
        return MISSING
    return f"{value:,.0f} s" if abs(value) >= 100 or value == round(value) else f"{value:.1f} s"


def ordinal(rank: int) -> str:
    """Write 1 as 1st, 2 as 2nd, 11 as 11th."""
    suffix = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{suffix}"


def listed(items: list[str]) -> str:
    """Join items as in a sentence: ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
