# SPDX-License-Identifier: Apache-2.0
"""The ground truth of a simulated fault window, in the fault contract's shape."""

from __future__ import annotations

from typing import Any

from rca_engine.simulator.faults import Fault
from rca_engine.simulator.spec import Timing, at_ns
from rcalab_common.times import format_utc

_POD_KINDS = ("replica", "head", "gateway")


def ground_truth(fault: Fault, timing: Timing, *, sham: bool) -> dict[str, Any]:
    """Return ``ground_truth.json``; what was intended is what was given, for nothing is in between.

    Parameters
    ----------
    fault
        What was injected.
    timing
        Gives the fault window.
    sham
        Whether no dose was given.
    """

    def at(seconds: float) -> str:
        return format_utc(at_ns(seconds))

    start, end = timing.fault_s
    dose = dict(fault.parameters)
    kind, name = fault.target.split("/", 1)
    return {
        "format": 1,
        "fault": fault.id,
        "name": fault.name,
        "sham": sham,
        "mechanism": "simulated",
        "parameters": {**dose, "duration_s": end - start},
        "target": {
            "component": fault.target,
            "pod": name if kind in _POD_KINDS else "",
            "host": "simulated",
        },
        "root_causes": []
        if sham
        else [{"component": fault.target, "metrics": list(fault.metrics)}],
        "times": {
            "requested": at(start - 1),
            "applied": at(start - 0.5),
            "effect_first_seen": None if sham else at(start),
            "revert_requested": at(end - 0.2),
            "reverted": at(end - 0.1),
            "revert_verified": at(end),
            "steady_state_regained": None,
        },
        "dose": {"intended": {} if sham else dose, "measured": {} if sham else dose},
        "clock_offsets_ms": {"controller": 0.0},
        "reverted_by": "controller",
        "outcome": "effective",
        "messages": [],
        "versions": {},
    }
