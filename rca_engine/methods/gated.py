# SPDX-License-Identifier: Apache-2.0
"""Gated: the source that is surprised decides, and the others keep silent.

Logs carry faults of code, metrics faults of resources, traces both a little. Averaging their
rankings lets the sources that saw nothing outvote the one that did; on Nezha's Train Ticket equal
weights find no root cause at all. Here each source scores the components on its own and divides by
what chance would give it (``_surprise``). A source is heard if its largest score is above
``threshold`` times that; a component is as suspect as the most surprised source that is heard says.
If none is, no fault was found.

Spans show what a component's callers see, and that its callees may have caused: they are heard only
if nothing from inside the components, their metrics and logs, is.

Own method of this package; it follows no paper. What its parts come from: ``_surprise``.
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._periods import (
    Periods,
    internal_only,
    metric_windows,
    missing,
    periods,
    require_any,
)
from rca_engine.methods._surprise import Finding, Surprise
from rca_engine.methods._surprise_logs import in_logs
from rca_engine.methods._surprise_metrics import in_metrics
from rca_engine.methods._surprise_traces import in_traces
from rca_engine.methods._traces import spans_of
from rca_engine.methods._windows import WindowOptions
from rca_engine.ranking import Candidate, Context, Ranking

_SIGNALS = 5
"""Log and span findings that a candidate carries."""


@method(
    "gated",
    sources={"metrics", "logs", "traces"},
    paper="none: own method of rca_engine",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    threshold: float = 1.0,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank components by the source that is most surprised; sources that are not are not heard."""
    if threshold < 0:
        raise MethodError(f"threshold must be at least 0, got {threshold}")
    at = periods(case, context, WindowOptions(guard_s, horizon_s))
    require_any(case, at)
    inside, seen = _sources(case, context, at)
    heard = [each for each in inside if each.strength > threshold]
    heard = heard or [each for each in seen if each.strength > threshold]
    return Ranking(_candidates(heard), time_ns=at.start_ns, degraded=missing(case))


def _sources(
    case: CaseView, context: Context, at: Periods
) -> tuple[list[Surprise], list[Surprise]]:
    """Let each source that the case has say what surprises it: from inside, and as callers see."""
    inside, seen = [], []
    spans = None if case.table("traces").empty else spans_of(case.table("traces"))
    if not case.table("metrics").empty:
        inside.append(in_metrics(internal_only(metric_windows(case, context, at))))
    if not case.table("logs").empty:
        inside.append(in_logs(case, at, spans))
    if spans is not None:
        seen.append(in_traces(spans, at))
    return inside, seen


def _candidates(heard: list[Surprise]) -> tuple[Candidate, ...]:
    """Give each component its largest score and what it rests on, then the metrics by name."""
    findings: dict[str, list[Finding]] = {}
    for source in heard:
        for each in source.findings:
            if each.score > 0:
                findings.setdefault(each.component, []).append(each)
    components = []
    for component, mine in findings.items():
        mine.sort(key=lambda each: -each.score)
        signals = dict.fromkeys(each.signal for each in mine if each.signal is not None)
        components.append(Candidate(component, mine[0].score, signals=tuple(signals)[:_SIGNALS]))
    metrics = [
        Candidate(each.component, each.score, each.name, each.evidence)
        for mine in findings.values()
        for each in mine
        if each.evidence is not None
    ]
    return (*sorted(components, key=_order), *sorted(metrics, key=_order))


def _order(candidate: Candidate) -> tuple[float, str, str]:
    return -candidate.score, candidate.component, candidate.metric or ""
