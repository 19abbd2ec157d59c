# SPDX-License-Identifier: Apache-2.0
"""Rank by a causal graph over the metrics: any discovery, read by any head.

Selection
    Discovery costs more than the number of metrics squared, and what did not move explains nothing:
    only the ``limit`` metrics that left their normal range farthest make the graph. Constant
    metrics and those unknown for half of the time can't be in it. Metrics that move exactly alike
    are one to any test of independence: one of them stands for all in the graph, and its twins
    share its score, which the ranking says. A gap is filled with the last known value.
Order
    Before anything else the metrics are put in the order of their values, so that neither names nor
    the order of columns decide where numbers tie.
Start
    A walk begins at the metric that alerted. If the case does not have it: at the metric that
    deviates most of the alert's component as its callers see it, else of all that callers see.
What the graph does not rank
    Metrics of score 0, in the graph or not, follow in the order of their deviations, as equals do.
    If that is all there is, the ranking says so.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery._memo import discover_once
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import correlation
from rca_engine.errors import MethodError
from rca_engine.methods import _scores
from rca_engine.methods._evidence import evidence_of
from rca_engine.methods._heads import Head, Trouble
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._windows import Key, WindowOptions, Windows, is_symptom, windows
from rca_engine.ranking import Candidate, Context, Ranking

_TWIN = 1e-9
"""By how much less than 1 two metrics correlate that are the same to every test."""
_KNOWN = 0.5
"""Share of the steps at which a metric must be known to be in the graph."""
_STEPS_A_METRIC = 3
"""Steps needed for each metric of the graph: with fewer, regressions on the others mean nothing."""


@dataclass(frozen=True)
class GraphOptions:
    """What every method that ranks by a graph has.

    Parameters
    ----------
    limit
        Most metrics in the graph.
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`; they bound the windows by which
        deviations are measured. Discovery sees all steps: what follows the incident obeys the same
        mechanisms.
    threshold
        Without a deviation of at least this there is no fault: the ranking is empty.
    """

    limit: int = 40
    guard_s: float = WindowOptions.guard_s
    horizon_s: float | None = WindowOptions.horizon_s
    threshold: float = 3.0

    def __post_init__(self) -> None:
        if self.limit < 2:
            raise MethodError(f"limit must be at least 2, got {self.limit}")


@dataclass(frozen=True)
class _Deviations:
    """How far each metric went; each array of shape (metrics,) but for the distances."""

    score: Floats
    sign: Ints
    before: Floats
    distances: Floats


@dataclass(frozen=True)
class _Selection:
    """The metrics of the graph.

    Parameters
    ----------
    columns
        Shape (n,): the windows' columns that stand in the graph.
    values
        Shape (steps, n), complete.
    node
        Shape (metrics,): each column's place in the graph, -1 if it has none; twins share one.
    notes
        What the reader of the ranking must know; empty ones say nothing.
    """

    columns: Ints
    values: Floats
    node: Ints
    notes: tuple[str, ...]


def rank_by_graph(
    case: CaseView,
    context: Context,
    discover: functools.partial[CausalGraph],
    head: Head,
    options: GraphOptions,
) -> Ranking:
    """Discover a graph over the metrics and rank them by it.

    Parameters
    ----------
    case, context
        As for every method.
    discover
        ``discover`` of a module of :mod:`rca_engine.discovery`, its options bound by name.
    head
        How to read the graph.
    options
        Which metrics are in it.

    Raises
    ------
    MethodError
        If either window is too short, no metric has values in both, or the discovery refuses.
    """
    given = windows(case, context, WindowOptions(options.guard_s, options.horizon_s), symptoms=True)
    data = given.take(np.lexsort(given.values[::-1]))
    deviations = _deviations(data)
    symptom = np.array([is_symptom(case, context, key) for key in data.keys], dtype=bool)
    if np.max(deviations.score, where=~symptom, initial=0.0) < options.threshold:
        return Ranking((), time_ns=data.start_ns)
    usable = _usable(data.values)
    start, start_note = _start(data, context, deviations.score, symptom, usable)
    selected = _select(data, usable, deviations.score, start, options.limit)
    graph = discover_once(discover, selected.values)
    node = int(selected.node[start])
    relevance = np.abs(correlation(selected.values)[node])
    trouble = Trouble(node, relevance, deviations.score[selected.columns])
    found = head.scores(graph, trouble)
    score = np.where(selected.node >= 0, found[selected.node], 0.0)
    notes = [start_note if head.from_alert else "", *selected.notes]
    notes.append(_nothing_found(graph, found, "/".join(data.keys[start])))
    return Ranking(
        _candidates(data, deviations, score, ~symptom, options.threshold),
        time_ns=data.start_ns,
        degraded="; ".join(filter(None, notes)) or None,
    )


def _deviations(data: Windows) -> _Deviations:
    distances, before = data.distances(_scores.median_and_iqr)
    both_ways = np.zeros(len(data.keys), dtype=np.int64)
    score, sign = _scores.deviation(distances[data.anomalous], 0.5, both_ways)
    return _Deviations(score, sign, before, distances)


def _usable(values: Floats) -> Mask:
    """Return which metrics vary and are known often enough, shape (metrics,)."""
    known = np.isfinite(values)
    varies = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
    usable: Mask = varies & (known.mean(axis=0) >= _KNOWN)
    if usable.sum() < 2:
        raise MethodError(
            f"a graph needs two metrics that vary and are known at half of the steps, "
            f"the case has {usable.sum()}"
        )
    return usable


def _start(
    data: Windows, context: Context, score: Floats, symptom: Mask, usable: Mask
) -> tuple[int, str]:
    """Return the column that a walk begins at, and what there is to say of it."""
    alert = (context.alert_component, context.alert_metric)
    alerting = np.array([key == alert for key in data.keys], dtype=bool)
    external = np.array([each.scope == "external" for each in data.metrics], dtype=bool)
    for among in (alerting, symptom, external, usable):
        if (among & usable).any():
            break
    start = int(np.where(among & usable, score, -1.0).argmax())
    if among is not usable:
        return start, ""
    name = "/".join(data.keys[start])
    return start, f"no metric is known to be seen by callers: the walk begins at {name}"


def _select(data: Windows, usable: Mask, score: Floats, start: int, limit: int) -> _Selection:
    """Choose the metrics of the graph: the start's, and those that deviate most."""
    steps = data.values.shape[0]
    priority = np.argsort(-score, kind="stable")
    priority = np.concatenate([[start], priority[priority != start]])
    columns = priority[usable[priority]]
    values = _filled(data.values[:, columns])
    alike = np.abs(correlation(values)) > 1.0 - _TWIN
    stands_for = alike.argmax(axis=1)  # the first that it equals, often itself
    first = np.flatnonzero(stands_for == np.arange(columns.size))
    kept = first[: max(2, min(limit, steps // _STEPS_A_METRIC))]
    place = np.full(columns.size, -1)
    place[kept] = np.arange(kept.size)
    node = np.full(len(data.keys), -1)
    node[columns] = place[stands_for]
    notes = (
        _steps_note(steps, limit, first.size, kept.size),
        _unknown_note(data.values),
        _twins_note(data.keys, columns, node, columns[kept]),
    )
    return _Selection(columns[kept], np.ascontiguousarray(values[:, kept]), node, notes)


def _filled(values: Floats) -> Floats:
    """Return the values with gaps filled by the last known value, or the first one before it."""
    known = np.isfinite(values)
    steps = np.arange(values.shape[0])[:, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
    last = np.where(last < 0, known.argmax(axis=0), last)
    filled: Floats = np.take_along_axis(values, last, axis=0)
    return filled


def _steps_note(steps: int, limit: int, metrics: int, kept: int) -> str:
    if kept >= min(limit, metrics):
        return ""
    return f"{steps} steps are enough for a graph of {kept} metrics only"


def _unknown_note(values: Floats) -> str:
    unknown = int((np.isfinite(values).mean(axis=0) < _KNOWN).sum())
    if not unknown:
        return ""
    return f"{unknown} metrics are unknown for more than half of the time and not in the graph"


def _twins_note(keys: Sequence[Key], columns: Ints, node: Ints, standing: Ints) -> str:
    names = ["/".join(key) for key in keys]
    twins = sorted(
        f"{names[each]} as {names[standing[node[each]]]}"
        for each in columns
        if node[each] >= 0 and standing[node[each]] != each
    )
    if not twins:
        return ""
    return f"metrics that move exactly as another share its score: {', '.join(twins)}"


def _nothing_found(graph: CausalGraph, found: Floats, start: str) -> str:
    if not graph.causes().any():
        return "the discovered graph has no usable link: ranked by deviation"
    if not found.any():
        return f"no link of the discovered graph leads from {start}: ranked by deviation"
    return ""


def _candidates(
    data: Windows, deviations: _Deviations, score: Floats, ranked: Mask, threshold: float
) -> tuple[Candidate, ...]:
    evidence = evidence_of(
        data, deviations.distances, deviations.before, deviations.sign, threshold
    )
    candidates = [
        (
            -float(deviations.score[index]),
            Candidate(key[0], float(score[index]), key[1], evidence[index]),
        )
        for index, key in enumerate(data.keys)
        if ranked[index]
    ]
    return tuple(each for _, each in sorted(candidates, key=_order))


def _order(ranked: tuple[float, Candidate]) -> tuple[float, float, str, str]:
    """Highest score first; of equals the one that deviated most; names settle what is left."""
    deviation, candidate = ranked
    return -candidate.score, deviation, candidate.component, candidate.metric or ""
