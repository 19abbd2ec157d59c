# SPDX-License-Identifier: Apache-2.0
"""MicroScope: follow abnormal services from the front end to those that have none below them.

Section 3.3 of the paper: the search starts at the front end, goes on to each abnormal callee, and
keeps as candidates the abnormal services none of whose callees is abnormal. They are ranked by the
correlation of their response with the front end's.

The graph: where the case has a topology it is that, calls and hosts alike; where it has none it is
what the PC algorithm discovers over the components' responses (section 3.2), and an undirected link
may be followed both ways.

Departures from the paper: abnormal is a lasting departure from the normal windows, in the bad
direction, and not a value outside three standard deviations. The entry is the alert's component;
without an alert, and without a topology, it is the component whose response left its normal range
farthest, and the ranking says so. If nothing is abnormal there is no fault.
"""

from __future__ import annotations

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery import pc
from rca_engine.discovery.independence import correlation
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._responses import Responses, ranked, responses
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._topology import entry, graph_of, observe
from rca_engine.methods._windows import WindowOptions, Windows
from rca_engine.ranking import Context, Ranking

_TWIN = 1.0 - 1e-9
"""Correlation of series that are the same to any test of independence."""
_KNOWN = 0.5
"""Share of the steps at which a response must be known to be in the graph."""
_STEPS_A_COMPONENT = 3
"""Steps that a discovered graph needs for each of its components."""


@method(
    "microscope",
    sources={"metrics"},
    paper="Lin, Chen, Zheng, Microscope: Pinpoint Performance Issues with Causal Graphs in "
    "Micro-service Environments, ICSOC 2018",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
    alpha: float = 0.05,
    limit: int = 40,
) -> Ranking:
    """Rank the abnormal components at which a search from the alert ends.

    Parameters
    ----------
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`.
    alpha
        Significance level of the discovery's tests, above 0 and below 1.
    limit
        Most components in a discovered graph, at least 2.

    Raises
    ------
    MethodError
        If the case has a topology and no alert in it, a window is too short, or an option is out of
        range.
    """
    if not (0.0 < alpha < 1.0 and limit >= 2):
        raise MethodError(
            f"alpha must be above 0 and below 1 and limit at least 2, got {alpha} and {limit}"
        )
    data = observe(case, context, WindowOptions(guard_s, horizon_s))
    if case.topology.edges:
        graph = graph_of(case, "microscope")
        start = entry(graph.components, context, "microscope")
        found, edges = responses(graph.components, data, context, case.step_s), graph.depends
        notes: list[str] = []
    else:
        found = responses(tuple(sorted({key[0] for key in data.keys})), data, context, case.step_s)
        start, notes = _start(found, context)
        edges = _discovered(found, data, start, alpha, limit)
        notes.append("the case has no topology: the graph was discovered by PC")
    ends = search(edges, found.unusual, start)
    scores = found.similarity(start)
    return Ranking(
        ranked(scores, ends, found, data), time_ns=data.start_ns, degraded="; ".join(notes) or None
    )


def search(edges: Mask, abnormal: Mask, start: int) -> Mask:
    """Return the abnormal components, reached over abnormal ones, that have no abnormal one below.

    Components that call each other round a cycle with nothing abnormal below it are all ends.

    Parameters
    ----------
    edges
        Shape (n, n): whether the row's component depends on the column's.
    abnormal
        Shape (n,).
    start
        Where to begin, abnormal or not.

    Returns
    -------
    Mask
        Shape (n,).
    """
    passable = edges & abnormal[None, :]
    below = passable | np.eye(edges.shape[0], dtype=np.bool_)
    for _ in range(max(1, int(np.ceil(np.log2(edges.shape[0]))))):
        below = (below.astype(np.float64) @ below.astype(np.float64)) > 0
    reached = below[start] & abnormal
    # On a cycle each is below the other; an end has nothing below that it is not below of, too.
    ends: Mask = reached & ~(below & ~below.T & abnormal[None, :]).any(axis=1)
    return ends


def _start(found: Responses, context: Context) -> tuple[int, list[str]]:
    if context.alert_component is not None:
        return entry(found.components, context, "microscope"), []
    farthest = int(found.ratio.argmax())
    return farthest, [
        (
            f"the case has no alert: the search starts at {found.components[farthest]}, which "
            f"left its normal range farthest"
        )
    ]


def _discovered(found: Responses, data: Windows, start: int, alpha: float, limit: int) -> Mask:
    """Return which component's response is driven by which, shape (n, n)."""
    size = len(found.components)
    edges = np.zeros((size, size), dtype=np.bool_)
    series = data.values[:, np.maximum(found.column, 0)]
    chosen = _selected(series, found, start, min(limit, series.shape[0] // _STEPS_A_COMPONENT))
    if chosen.size < 2:
        return edges
    causes = pc.discover(_filled(series[:, chosen]), alpha=alpha).causes()
    edges[np.ix_(chosen, chosen)] = causes.T
    return edges


def _selected(series: Floats, found: Responses, start: int, most: int) -> Ints:
    """Return the components of the graph: the start, and the most unusual that can be in it.

    They come in the order of their values, so that names settle nothing in the discovery.
    """
    varies = np.nan_to_num(np.nanmax(series, axis=0) - np.nanmin(series, axis=0)) > 0
    usable = (found.column >= 0) & varies & (np.isfinite(series).mean(axis=0) >= _KNOWN)
    first = np.arange(found.ratio.size) == start
    order = np.lexsort((*series[::-1], -found.ratio, ~first))
    columns = order[usable[order]]
    alike = np.abs(correlation(_filled(series[:, columns]))) > _TWIN
    standing: Ints = columns[alike.argmax(axis=1) == np.arange(columns.size)]
    return standing[: max(most, 2)]


def _filled(series: Floats) -> Floats:
    return np.where(np.isfinite(series), series, np.nanmedian(series, axis=0))
