# SPDX-License-Identifier: Apache-2.0
"""The reasons behind a candidate, as JSON values and as sentences.

What a log line or a span is called comes from the lab's programs, so it passes
:func:`rca_engine.untrusted.one_line` on the way into either.
"""

from __future__ import annotations

from typing import Any

from rca_engine.ranking import Candidate, Evidence, LogEvidence, Signal
from rca_engine.untrusted import one_line
from rcalab_common.times import format_utc


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Write a metric's evidence; ``p_value`` only where the method tests."""
    first = evidence.first_deviation_ns
    document = {
        "before": evidence.before,
        "after": evidence.after,
        "direction": evidence.direction,
        "unit": evidence.unit,
        "first_deviation": None if first is None else format_utc(first),
    }
    return document if evidence.p_value is None else {**document, "p_value": evidence.p_value}


def component_json(rank: int, candidate: Candidate) -> dict[str, Any]:
    """Write one component of a ranking; ``signals`` and ``path`` only where there are any."""
    document: dict[str, Any] = {
        "rank": rank,
        "component": candidate.component,
        "score": candidate.score,
    }
    if candidate.signals:
        document["signals"] = [signal_json(each) for each in candidate.signals]
    if candidate.path:
        document["path"] = list(candidate.path)
    return document


def signal_json(signal: Signal) -> dict[str, Any]:
    """Write what a log or a span says; what the method does not know is null."""
    if isinstance(signal, LogEvidence):
        return {
            "kind": "log",
            "template": one_line(signal.template),
            "before": signal.before,
            "after": signal.after,
            "unit": signal.unit,
            "sample": one_line(signal.sample),
        }
    return {
        "kind": "span",
        "operation": one_line(signal.operation),
        "before_ms": signal.before_ms,
        "after_ms": signal.after_ms,
        "count_before": signal.count_before,
        "count": signal.count,
        "errors": signal.errors,
    }


def metric_sentence(candidate: Candidate, evidence: Evidence) -> str:
    """Say how a metric changed."""
    unit = "" if evidence.unit == "1" else f" {one_line(evidence.unit)}"
    since = evidence.first_deviation_ns
    facts = [f"score {candidate.score:.1f}"]
    if evidence.p_value is not None:
        facts.append(f"p = {evidence.p_value:.2g}")
    if since is not None:
        facts.append(f"first seen {format_utc(since)[11:19]} UTC")
    levels = f"{evidence.before:.4g} to {evidence.after:.4g}{unit}"
    metric = one_line(candidate.metric or "")
    return f"{metric} went {evidence.direction} from {levels} ({', '.join(facts)})"


def signal_sentence(signal: Signal) -> str:
    """Say what changed in a log or in spans."""
    if isinstance(signal, LogEvidence):
        unit = " lines" if signal.unit == "1" else f" {one_line(signal.unit)}"
        sample = f", such as: {one_line(signal.sample)}" if signal.sample else ""
        return (
            f"log “{one_line(signal.template)}” went from {signal.before:.4g} to "
            f"{signal.after:.4g}{unit}{sample}"
        )
    before, after = _duration(signal.before_ms), _duration(signal.after_ms)
    facts = []
    if signal.count is not None:
        earlier = "" if signal.count_before is None else f" after {signal.count_before} before"
        facts.append(f"{signal.count} spans{earlier}")
    if signal.errors:
        facts.append(f"{signal.errors} failed")
    counted = f" ({', '.join(facts)})" if facts else ""
    return f"span “{one_line(signal.operation)}” took {after}, before {before}{counted}"


def _duration(milliseconds: float | None) -> str:
    return "was not there" if milliseconds is None else f"{milliseconds:.4g} ms"
