# SPDX-License-Identifier: Apache-2.0
"""The run in one or two plain sentences: what was broken, and who named it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rca_engine.case import Case
from rca_engine.model import NS, GroundTruth
from rca_engine.report.words import fault_name
from rcalab_common.words import listed, ordinal, seconds

_SPOILED = {
    "not_effective": "had no verified effect",
    "aborted": "was aborted",
    "contaminated": "was contaminated by something else",
}
"""Outcome to how the sentence says it; ``effective`` needs none."""


def verdict(case: Case, diagnoses: Mapping[str, dict[str, Any]]) -> str:
    """Return the verdict of a run as plain text, complete also where a part is missing."""
    return f"{_what_happened(case)} {_who_named_it(case.truth, diagnoses)}"


def best_rank(diagnosis: Mapping[str, Any], truth: GroundTruth) -> int | None:
    """Return the best rank that a method gave to a true component; None if it named none."""
    ranks = (
        entry["rank"]
        for entry in diagnosis["components"]
        if entry["component"] in truth.root_causes
    )
    return min(ranks, default=None)


def _what_happened(case: Case) -> str:
    truth = case.truth
    if truth is None:
        return "What was broken in this run, if anything, is not known (no ground truth)."
    if truth.sham:
        return "A sham: every step of a fault with no dose, so no component is guilty."
    where = listed(sorted(truth.root_causes)) if truth.root_causes else "no named component"
    name = fault_name(truth.name)
    if truth.outcome != "effective":
        spoiled = _SPOILED.get(truth.outcome, f"ended as “{truth.outcome}”")
        return f"{name} of {where} {spoiled}, so this run can't judge a method."
    if truth.fault_window is None:
        return f"{name} hit {where}; when its effect was first seen is not recorded."
    start, end = ((t and (t - case.info.window.start_ns) / NS) for t in truth.fault_window)
    until = f"to {seconds(end)}" if end is not None else "and its revert was never verified"
    return f"{name} hit {where} from {seconds(start)} {until}."


def _who_named_it(truth: GroundTruth | None, diagnoses: Mapping[str, dict[str, Any]]) -> str:
    if not diagnoses:
        return "No method has diagnosed it yet."
    known = truth if truth is not None and truth.root_causes else None
    return f"{'; '.join(_answer(each, known) for each in diagnoses.values())}."


def _answer(diagnosis: Mapping[str, Any], truth: GroundTruth | None) -> str:
    method, components = diagnosis["method"], diagnosis["components"]
    if diagnosis["status"] == "failed":
        return f"{method} failed"
    if not components:
        return f"{method} found no fault"
    if truth is None:
        return f"{method} ranked {components[0]['component']} 1st of {len(components)}"
    rank = best_rank(diagnosis, truth)
    if rank is None:
        return f"{method} did not name it among its {len(components)} components"
    return f"{method} ranked it {ordinal(rank)} of {len(components)}"
