# SPDX-License-Identifier: Apache-2.0
"""Faults, signals and changes as a person reads them; numbers are `rcalab_common.words`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rca_engine.untrusted import one_line
from rcalab_common.words import quantity

_ACRONYMS = frozenset({"cpu", "dns", "gc", "gpu", "http", "io", "kv", "oom", "rpc", "tcp", "tls"})


def fault_name(name: str) -> str:
    """Write a fault's identifier as words: ``cpu_starvation`` as ``CPU starvation``."""
    words = [word.upper() if word in _ACRONYMS else word for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


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
