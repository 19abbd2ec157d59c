# SPDX-License-Identifier: Apache-2.0
"""What the tables of the report say, as frozen values of plain text; the template escapes them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rca_engine.case import Case
from rca_engine.model import NS, CaseInfo, GroundTruth
from rca_engine.report.words import change, fault_name, signal_words
from rca_engine.untrusted import one_line
from rcalab_common.times import format_utc, parse_utc
from rcalab_common.words import MISSING, number, quantity, seconds

_LISTED_COMPONENTS = 10
_LISTED_SIGNALS = 3
_COMPLETE = 0.95
"""Share of its expected samples from which a series counts as complete."""

_TIME_SOURCES = {
    "alert": "told the time of the client's first SLO breach",
    "none": "told no time",
    "oracle": "told the true time of the fault, for comparison with published tables only",
}
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class RankedComponent:
    """One row of a ranking: the component, its strongest metric, what its logs and spans say."""

    rank: int
    component: str
    score: str
    guilty: bool
    metric: str | None
    change: str | None
    signals: list[str]


@dataclass(frozen=True)
class RankingTable:
    """One method's answer; ``reason`` says why it failed or had to degrade."""

    method: str
    status: str
    reason: str | None
    basis: str
    rows: list[RankedComponent]
    left_out: int
    ruled_out: list[str]


@dataclass(frozen=True)
class Truth:
    """The ground truth in words."""

    facts: Pairs
    causes: list[tuple[str, str]]
    times: list[tuple[str, str, str]]
    dose: list[tuple[str, str, str]]
    messages: list[str]


@dataclass(frozen=True)
class ComponentTelemetry:
    """How complete one component's series are."""

    component: str
    metrics: int
    lowest: str
    complete: bool
    gaps: list[str]


@dataclass(frozen=True)
class Completeness:
    """How complete the telemetry is, by component and by source."""

    summary: str
    complete: bool
    components: list[ComponentTelemetry]
    sources: list[tuple[str, str, list[str]]]


def run_facts(info: CaseInfo, truth: GroundTruth | None) -> Pairs:
    """Return what was run, as pairs of term and value."""
    fault = "unknown" if truth is None else f"{fault_name(truth.name)} ({truth.fault})"
    return [
        ("Fault", fault),
        ("Target", "unknown" if truth is None else _target(truth)),
        ("Engine", info.engine),
        ("Platform", info.platform),
        ("Seed", str(info.seed)),
        ("Duration", seconds(info.window.seconds)),
        ("Started", format_utc(info.window.start_ns)[:19].replace("T", " ") + " UTC"),
    ]


def ranking_tables(
    diagnoses: Mapping[str, dict[str, Any]], truth: GroundTruth | None, start_ns: int
) -> list[RankingTable]:
    """Return one table a method; a true component is listed however low it ranks."""
    guilty = frozenset(() if truth is None else truth.root_causes)
    return [_ranking_table(each, guilty, start_ns) for each in diagnoses.values()]


def _ranking_table(
    diagnosis: Mapping[str, Any], guilty: frozenset[str], start_ns: int
) -> RankingTable:
    strongest = {entry["component"]: entry for entry in reversed(diagnosis["metrics"])}
    rows = [
        RankedComponent(
            rank=entry["rank"],
            component=entry["component"],
            score=number(entry["score"]),
            guilty=entry["component"] in guilty,
            metric=best["metric"] if best else None,
            change=change(best["evidence"]) if best else None,
            signals=[signal_words(each) for each in entry.get("signals", [])[:_LISTED_SIGNALS]],
        )
        for entry in diagnosis["components"]
        for best in [strongest.get(entry["component"])]
    ]
    shown = [row for row in rows if row.rank <= _LISTED_COMPONENTS or row.guilty]
    when = diagnosis["time"]
    at = "" if when is None else f" ({seconds((parse_utc(when) - start_ns) / NS)})"
    return RankingTable(
        method=diagnosis["method"],
        status=diagnosis["status"],
        reason=diagnosis["reason"],
        basis=f"{_TIME_SOURCES[diagnosis['time_source']]}{at}; "
        f"took {quantity(diagnosis['seconds'], 's')}",
        rows=shown,
        left_out=len(rows) - len(shown),
        ruled_out=[one_line(each["reason"]) for each in diagnosis.get("ruled_out", [])],
    )


def truth_section(truth: GroundTruth, start_ns: int) -> Truth:
    """Return the fault's own record: what was done, when, and how much of it."""
    record = truth.record
    dose = record.get("dose") or {}
    intended, measured = dose.get("intended") or {}, dose.get("measured") or {}
    return Truth(
        facts=[
            ("Outcome", truth.outcome.replace("_", " ")),
            ("Reverted by", _text(record.get("reverted_by"))),
            ("Mechanism", _text(record.get("mechanism"))),
            *((name, _text(value)) for name, value in (record.get("parameters") or {}).items()),
        ],
        causes=[(component, ", ".join(names)) for component, names in truth.root_causes.items()],
        times=[
            (
                step.replace("_", " "),
                MISSING if at is None else f"{(at - start_ns) / NS:.2f} s",
                "did not come" if at is None else format_utc(at)[11:22],
            )
            for step, at in truth.times.items()
        ],
        # A dict keeps the order of both sides; a set would shuffle with PYTHONHASHSEED.
        dose=[
            (name, _text(intended.get(name)), _text(measured.get(name)))
            for name in dict.fromkeys([*intended, *measured])
        ],
        messages=[_text(message) for message in record.get("messages") or []],
    )


def completeness_section(case: Case) -> Completeness:
    """Return how complete the telemetry is; gaps that the fault explains are told apart."""
    by_component: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in case.manifest["completeness"]:
        by_component[entry["component"]].append(entry)
    start_ns = case.info.window.start_ns
    components = [
        _component_telemetry(name, entries, start_ns)
        for name, entries in sorted(by_component.items())
    ]
    required = [entry for entry in case.manifest["completeness"] if entry["required"]]
    whole = sum(map(_is_complete, required))
    gaps = [gap for entry in case.manifest["completeness"] for gap in entry["gaps"]]
    expected = sum(gap["expected"] for gap in gaps)
    summary = (
        f"{whole} of {len(required)} required series are complete "
        f"(at least {_COMPLETE:.0%} of their samples, no gap but those that the fault explains); "
        f"{len(gaps) - expected} unexplained and {expected} expected gaps."
        if required
        else "The harvest recorded no completeness of required series."
    )
    return Completeness(
        summary=summary,
        complete=bool(required) and whole == len(required),
        components=components,
        sources=[
            (name, f"{source['rows']:,}", list(source["warnings"]))
            for name, source in sorted(case.manifest["sources"].items())
        ],
    )


def _is_complete(entry: Mapping[str, Any]) -> bool:
    """Say whether a series is whole; where the fault explains its gaps, the ratio says nothing."""
    gaps = entry["gaps"]
    explained = bool(gaps) and all(gap["expected"] for gap in gaps)
    return explained or (not gaps and entry["ratio"] >= _COMPLETE)


def _component_telemetry(
    name: str, entries: list[Mapping[str, Any]], start_ns: int
) -> ComponentTelemetry:
    lowest = min(entries, key=lambda entry: (entry["ratio"], entry["metric"]))
    gaps = Counter(
        (
            *(round((parse_utc(gap[edge]) - start_ns) / NS) for edge in ("start", "end")),
            f"expected: {gap['reason'] or 'no reason recorded'}"
            if gap["expected"]
            else f"unexplained{': ' + gap['reason'] if gap['reason'] else ''}",
        )
        for entry in entries
        for gap in entry["gaps"]
    )
    return ComponentTelemetry(
        component=name,
        metrics=len(entries),
        lowest=f"{lowest['ratio']:.1%}",
        complete=all(_is_complete(entry) for entry in entries if entry["required"]),
        gaps=[
            f"{start} s to {end} s in {count} of {len(entries)} ({why})"
            for (start, end, why), count in sorted(gaps.items())
        ],
    )


def _target(truth: GroundTruth) -> str:
    target = truth.record.get("target") or {}
    component, pod = target.get("component"), target.get("pod")
    return f"{component} (pod {pod})" if pod else _text(component)


def _text(value: object) -> str:
    """Write one value of a free-form record."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items()) or MISSING
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or MISSING
    return str(value)
