# SPDX-License-Identifier: Apache-2.0
"""What is not the cause, and how one knows: beside any method's ranking, whatever it ranks by.

Each metric's distance from its normal median is taken in interquartile ranges, as BARO does, but
by a high quantile of the anomalous window: to rule a component out, not even a short excursion may
have come. What a method suspects on other grounds (its first component, or one whose logs or spans
speak) is not ruled out by calm metrics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _scores
from rca_engine.methods._scores import Floats, median_and_iqr
from rca_engine.methods._windows import WindowOptions, Windows, windows
from rca_engine.ranking import Context, Ranking, RuledOut

THRESHOLD = 3.0
"""Interquartile ranges from the normal median within which a metric counts as normal."""
_QUANTILE = 0.9
_GUARD_STEPS, _HORIZON_STEPS = 1, 10
"""What the windows hold at least where the step is coarse."""


@dataclass(frozen=True)
class _Moved:
    """How far one component's metrics moved: their number, and the one that moved most."""

    metrics: int
    most: str
    score: float


def rule_out(case: CaseView, context: Context, ranking: Ranking) -> tuple[RuledOut, ...]:
    """Say what can be ruled out at the time of the incident.

    Parameters
    ----------
    case
        With the ``metrics`` table.
    context
        What the method was told.
    ranking
        What it answered; its time counts where it was told none.

    Returns
    -------
    tuple of RuledOut
        Shared causes first, then the symptom, how many metrics were quiet, and every component
        that stayed within its normal range, by name. Where the windows are too short to tell, the
        one entry says so.
    """
    when = ranking.time_ns if context.time_ns is None else context.time_ns
    options = WindowOptions(
        guard_s=max(WindowOptions.guard_s, _GUARD_STEPS * case.step_s),
        horizon_s=max(WindowOptions.horizon_s or 0.0, _HORIZON_STEPS * case.step_s),
    )
    try:
        data = windows(case, replace(context, time_ns=when), options)
    except MethodError as error:
        return (RuledOut("not_checked", f"nothing could be ruled out: {error}"),)
    score = _deviation(data)
    moved = _by_component(data, score)
    calm = {name: each for name, each in moved.items() if each.score < THRESHOLD}
    suspects = ranking.components()
    for each in suspects:
        if each.signals or each is suspects[0]:
            calm.pop(each.component, None)
    first = suspects[0].component if suspects else None
    shared = _shared(case, first) & calm.keys()
    return (
        *(_shared_cause(name, calm[name], first) for name in sorted(shared)),
        *_symptom(case, context, ranking),
        _quiet(score),
        *(_within_normal(name, calm[name]) for name in sorted(calm.keys() - shared)),
    )


def _deviation(data: Windows) -> Floats:
    distances, _ = data.distances(median_and_iqr)
    either_way = np.zeros(len(data.keys), dtype=np.int64)
    score, _ = _scores.deviation(distances[data.anomalous], _QUANTILE, either_way)
    return score


def _by_component(data: Windows, score: Floats) -> dict[str, _Moved]:
    counts = Counter(component for component, _ in data.keys)
    moved: dict[str, _Moved] = {}
    # The strongest first, of equals by name, so that the order of columns does not matter.
    for index in sorted(range(len(data.keys)), key=lambda i: (-score[i], data.keys[i])):
        component, metric = data.keys[index]
        moved.setdefault(component, _Moved(counts[component], metric, float(score[index])))
    return moved


def _shared(case: CaseView, suspect: str | None) -> set[str]:
    """Return what the first suspect runs on or belongs to, together with others."""
    under = [edge for edge in case.topology.edges if edge.type in ("runs_on", "part_of")]
    carries = Counter(edge.target for edge in under)
    return {edge.target for edge in under if edge.source == suspect and carries[edge.target] > 1}


def _shared_cause(name: str, moved: _Moved, suspect: str | None) -> RuledOut:
    reason = f"{name}, which {suspect} shares with others, stayed normal: {_extent(moved)}"
    return RuledOut("shared_cause", reason, name, moved.metrics, moved.score)


def _within_normal(name: str, moved: _Moved) -> RuledOut:
    reason = f"{name} stayed within its normal range: {_extent(moved)}"
    return RuledOut("within_normal", reason, name, moved.metrics, moved.score)


def _extent(moved: _Moved) -> str:
    # Told by the score, for every score below the threshold is normal.
    return f"of its {moved.metrics} metrics {moved.most} moved most (score {moved.score:.1f})"


def _symptom(case: CaseView, context: Context, ranking: Ranking) -> tuple[RuledOut, ...]:
    """Return that the alert's own symptoms are not among the suspects, where that is so."""
    component = context.alert_component
    external = {name for name, each in case.metric_table.items() if each.scope == "external"}
    rows = case.table("metrics")
    own = set(rows.loc[rows["component"] == component, "metric"].unique()) & external
    ranked = {each.metric for each in ranking.candidates if each.component == component}
    if not own or own & ranked:
        return ()
    reason = f"{len(own)} metrics of {component} are the symptom that alerted, and no cause"
    return (RuledOut("symptom", reason, component, len(own)),)


def _quiet(score: Floats) -> RuledOut:
    quiet = int((score < THRESHOLD).sum())
    reason = f"no deviation beyond {THRESHOLD:g} in {quiet} of {score.size} metrics"
    calmest = float(score[score < THRESHOLD].max()) if quiet else None
    return RuledOut("quiet", reason, None, quiet, calmest)
