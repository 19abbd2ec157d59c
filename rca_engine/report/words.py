# SPDX-License-Identifier: Apache-2.0
"""Numbers, units and times as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rca_engine.untrusted import one_line

MISSING = "—"
"""What stands where there is no value."""

_ACRONYMS = frozenset({"cpu", "dns", "gc", "gpu", "http", "io", "kv", "oom", "rpc", "tcp", "tls"})
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


def fault_name(name: str) -> str:
    """Write a fault's identifier as words: ``cpu_starvation`` as ``CPU starvation``."""
    words = [word.upper() if word in _ACRONYMS else word for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def listed(items: list[str]) -> str:
    """Join items as in a sentence: ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def signal_words(signal: Mapping[str, Any]) -> str:
    """Write what a log or a span says as one bounded line; whoever shows it escapes it."""
    if signal["kind"] == "log":
        unit = "lines" if signal["unit"] == "1" else signal["unit"]
        levels = " → ".join(quantity(signal[key], unit) for key in ("before", "after"))
        sample = f", such as “{one_line(signal['sample'])}”" if signal["sample"] else ""
        return f"log “{one_line(signal['template'])}”: {levels}{sample}"
    before, after = (
        "absent" if signal[key] is None else quantity(signal[key], "ms")
        for key in ("before_ms", "after_ms")
    )
    failed = f", {signal['errors']} of {signal['count']} failed" if signal["errors"] else ""
    return f"span “{one_line(signal['operation'])}”: {before} → {after}{failed}"


def change(evidence: Mapping[str, Any]) -> str:
    """Write the evidence of a metric: level before, level after, with the unit."""
    before, after = (quantity(evidence[key], evidence["unit"]) for key in ("before", "after"))
    return f"{before} → {after}"
