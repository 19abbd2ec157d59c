# SPDX-License-Identifier: Apache-2.0
"""Traverse the topology from the alert and ask which component explains most of what is wrong.

Idea
    A fault makes its own component unusual, and those that depend on it, directly or not; and a
    small anomaly rarely causes a larger one (Okati et al., sections 3 and 5). So a component
    explains of each one that depends on it as much as survives the best path between the two. Of
    two leaves that are unusual alike, the one that more unusual callers share wins; what is barely
    unusual can't explain the alert, however deep it lies.

    s(c)   = r^2 / (1 + r^2), r the largest ratio among c's symptoms, by how much more it went the
             bad way than in 99 of 100 normal windows (:mod:`rca_engine.methods._departures`)
    m(c)   = trouble that c's callers had with it: excess of the alert's metric, summed over the
             requests (seconds lost, requests failed); unknown where the case does not count them
    e(a,c) = the largest over the paths a -> ... -> c of the smallest s on the path, times the share
             of m(a) that the largest over the paths of the smallest m on it can make up
    S(c)   = s(c) times the sum of e(a, c) over all components a, itself included

    for each component c that the alert's depends on. Both "largest of smallest" are the widest
    path problem, solved for all pairs at once.
Symptoms
    What a caller sees of the component (external metrics with a bad direction): those of the
    alert's kind, its unit and its direction, where it has such, else all. Besides, all internal
    metrics with a bad direction. Where the case knows no direction at all: everything, both ways.
    A component of which nothing external is measured can't testify, and lets every path through.
No fault
    Where nothing explains ``threshold``, the ranking is empty. The alert's own component need not
    be unusual by itself: a fault that few of its requests meet hardly moves its averages.

Compared with the papers: anomaly traversal (Chen et al., CauseInfer, INFOCOM 2014; Liu et al.,
MicroHECL, ICSE-SEIP 2021; the baseline of Hardt et al., PetShop, CLeaR 2024) walks while a test
says yes and takes what has no unusual callee, so that one wrong answer ends the walk or prolongs
it; smooth traversal (Okati et al., section 5) compares a node with its direct causes only. The
widest path is smooth over the whole way. The sharing of callers and the trouble m are our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._departures import Departures, departures
from rca_engine.methods._responses import LEVEL, RECENT_S, candidate, directions
from rca_engine.methods._scores import Floats, Mask
from rca_engine.methods._topology import Graph, entry, graph_of, observe
from rca_engine.methods._windows import WindowOptions, Windows, metric_of
from rca_engine.model import Metric
from rca_engine.ranking import Context, Ranking


@dataclass(frozen=True)
class Symptoms:
    """What shows on each component of the graph.

    Parameters
    ----------
    columns
        For each component its unusual symptoms, as columns of the windows: internal ones first, for
        they are nearer to a cause, and the most unusual first. The most unusual one if none is;
        empty where nothing is measured.
    ratio
        Shape (n,): of the most unusual one, see :class:`Departures`; NaN where nothing is measured.
    external
        Shape (n,): whether anything that a caller sees of the component is measured.
    """

    columns: tuple[tuple[int, ...], ...]
    ratio: Floats
    external: Mask


@method(
    "traversal",
    sources={"metrics"},
    paper="after Okati et al., Root Cause Analysis of Outliers with Missing Structural Knowledge, "
    "arXiv 2406.05014 (smooth traversal)",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
    level: float = LEVEL,
    recent_s: float = RECENT_S,
    traffic: str | None = "requests_sum",
    threshold: float = 0.8,
) -> Ranking:
    """Rank components by how much of the trouble on the way from the alert they explain.

    Parameters
    ----------
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`.
    level
        Share of the normal windows that counts as normal, from 0.5 to below 1.
    recent_s
        A symptom must also have left its median of this long before the alert; 0 for no such test.
    traffic
        The metric that counts a component's requests; None, or one that the case lacks, for none.
    threshold
        Without a score of at least this there is no fault.

    Raises
    ------
    MethodError
        If there is no topology or no alert in it, a window is too short or an option out of range.
    """
    if not 0.5 <= level < 1.0 or recent_s < 0:
        raise MethodError(
            f"level must be from 0.5 to below 1 and recent_s at least 0, got {level} and {recent_s}"
        )
    graph = graph_of(case, "traversal")
    start = entry(graph.components, context, "traversal")
    data = observe(case, context, WindowOptions(guard_s, horizon_s))
    alerted = _alerted(case, context)
    departed = departures(
        data.values,
        data.normal,
        data.anomalous,
        directions(data),
        data.resolution(),
        level=level,
        recent=math.ceil(recent_s / case.step_s),
    )
    symptoms = _symptoms(graph, data, departed, alerted)
    scores = explained(
        graph.depends,
        unusual(np.nan_to_num(symptoms.ratio)),
        ~symptoms.external,
        _trouble(graph, data, alerted, context, traffic),
        start,
    )
    if scores.max() < threshold:
        return Ranking((), time_ns=data.start_ns)
    ranked = sorted(
        np.flatnonzero(scores > 0),
        key=lambda index: (-scores[index], -symptoms.ratio[index], graph.components[index]),
    )
    return Ranking(
        tuple(
            candidate(graph.components[index], float(scores[index]), column, data, departed)
            for index in ranked
            for column in symptoms.columns[index]
        ),
        time_ns=data.start_ns,
    )


def unusual(ratios: Floats) -> Floats:
    """Return how sure it is that something is wrong, from 0 to 1; a ratio of 1 gives a half."""
    return 1.0 - 1.0 / (1.0 + np.square(ratios))


def explained(depends: Mask, unusual: Floats, unseen: Mask, trouble: Floats, start: int) -> Floats:
    """Return each component's score: what it explains of all others, 0 where it can't be reached.

    Parameters
    ----------
    depends
        Shape (n, n): whether the row's component depends on the column's.
    unusual
        Shape (n,), from 0 to 1.
    unseen
        Shape (n,): components that let every path through, for nothing external is measured.
    trouble
        Shape (n,), at least 0; NaN where unknown, which then limits nothing.
    start
        The alert's component. If it is unseen the alert is believed.
    """
    amount = np.where(np.isnan(trouble), np.inf, trouble)
    own = np.broadcast_to(amount[:, None], depends.shape)
    limited = np.isfinite(own) & (own > 0)
    share = np.divide(widest_paths(depends, amount), own, out=np.ones(own.shape), where=limited)
    share = np.where(own == 0, 0.0, np.minimum(share, 1.0))
    believed = unusual.copy()
    believed[start] = 1.0 if unseen[start] else unusual[start]
    paths = widest_paths(depends, np.where(unseen, 1.0, believed))
    explains = np.minimum(paths, np.minimum.outer(believed, unusual)) * share
    return np.where(explains[start] > 0, unusual * explains.sum(axis=0), 0.0)


def widest_paths(edges: Mask, width: Floats) -> Floats:
    """Return for each pair the largest over its paths of the smallest width of a node on the path.

    Cycles do no harm. Pollack, The Maximum Capacity through a Network, Operations Research 1960.

    Parameters
    ----------
    edges
        Shape (n, n).
    width
        Shape (n,), at least 0.

    Returns
    -------
    Floats
        Shape (n, n): 0 where there is no path, the node's own width on the diagonal.
    """
    widest = np.where(edges, np.minimum.outer(width, width), 0.0)
    np.fill_diagonal(widest, width)
    for middle in range(width.size):
        through = np.minimum(widest[:, middle, None], widest[None, middle, :])
        np.maximum(widest, through, out=widest)
    return widest


def _alerted(case: CaseView, context: Context) -> Metric | None:
    """Return what is known of the alert's metric; None if not which way is bad."""
    if context.alert_metric is None:
        return None
    metric = metric_of(case, context.alert_metric)
    return None if metric.direction == "both" else metric


def _symptoms(
    graph: Graph, data: Windows, departed: Departures, alerted: Metric | None
) -> Symptoms:
    undirected = all(each.direction == "both" for each in data.metrics)
    mine: dict[str, list[int]] = {component: [] for component in graph.components}
    for column, ((component, _), metric) in enumerate(zip(data.keys, data.metrics, strict=True)):
        if component in mine and (undirected or metric.direction != "both"):
            mine[component].append(column)
    seen = {
        component: [c for c in columns if undirected or data.metrics[c].scope == "external"]
        for component, columns in mine.items()
    }
    columns, ratio = [], np.full(len(graph.components), np.nan)
    for index, component in enumerate(graph.components):
        akin = [c for c in seen[component] if _akin(data.metrics[c], alerted)]
        internal = [c for c in mine[component] if c not in seen[component]]
        telling = sorted([*internal, *(akin or seen[component])], key=lambda c: -departed.ratio[c])
        if telling:
            ratio[index] = departed.ratio[telling[0]]
        found = [c for c in telling if departed.ratio[c] >= 1.0] or telling[:1]
        columns.append(tuple(sorted(found, key=lambda c: data.metrics[c].scope == "external")))
    return Symptoms(
        tuple(columns), ratio, np.array([bool(seen[each]) for each in graph.components])
    )


def _akin(metric: Metric, alerted: Metric | None) -> bool:
    return alerted is not None and (
        (metric.unit, metric.direction) == (alerted.unit, alerted.direction)
    )


def _trouble(
    graph: Graph, data: Windows, alerted: Metric | None, context: Context, traffic: str | None
) -> Floats:
    """Return the excess of the alert's metric times the requests, NaN where either is unknown."""
    trouble = np.full(len(graph.components), np.nan)
    if alerted is None or traffic is None:
        return trouble
    place = {key: column for column, key in enumerate(data.keys)}
    for index, component in enumerate(graph.components):
        metric = place.get((component, str(context.alert_metric)))
        requests = place.get((component, traffic))
        if metric is not None and requests is not None:
            usual = np.nanmedian(data.values[data.normal, metric])
            excess = data.values[data.anomalous, metric] - usual
            excess = excess if alerted.direction == "up" else -excess
            trouble[index] = max(0.0, np.nansum(excess * data.values[data.anomalous, requests]))
    return trouble
