# SPDX-License-Identifier: Apache-2.0
"""What the methods that follow the topology share: the graph, its entry, the walk, the windows.

Direction
    Everywhere an edge goes from what depends to what it depends on: caller to callee, replica to
    node, part to whole. Symptoms travel against the edges, the search for their cause along them.
Names
    Components are matched by their whole id. None is special: the entry is the alert's component.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _changepoint
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._windows import WindowOptions, Windows, metric_of
from rca_engine.model import NS
from rca_engine.ranking import Context

_LEAST_NORMAL = 5
"""Values that a metric must have in the normal window, and rows that the window must have."""
_LEAST_ANOMALOUS = 2
"""Rows of the anomalous window: what shows in one row only is no lasting deviation."""
_QUIET_STEPS, _LASTING_STEPS = 30, 15
"""What an incident that is not told must have before it, and how long it must be, in rows."""


@dataclass(frozen=True)
class Graph:
    """The topology as matrices over the components, in order of their ids.

    Parameters
    ----------
    components
        Ids, sorted.
    calls
        Shape (n, n): whether the row's component calls the column's.
    hosted
        Shape (n, n): whether the row's component runs on, or is part of, the column's.
    """

    components: tuple[str, ...]
    calls: Mask
    hosted: Mask

    @property
    def depends(self) -> Mask:
        """Where the row's component depends on the column's, in whatever way."""
        either: Mask = self.calls | self.hosted
        return either


def graph_of(case: CaseView, needed_by: str) -> Graph:
    """Return the case's topology.

    Raises
    ------
    MethodError
        If it has no edges.
    """
    edges = sorted(
        {(each.source, each.target, each.type) for each in case.topology.edges},
    )
    if not edges:
        raise MethodError(
            f"{needed_by} follows the topology and the case has none: list the calls in its "
            f"topology.json (edges of type calls), or use a method that needs none, such as baro"
        )
    named = {each.id for each in case.topology.components}
    components = tuple(sorted(named.union(*(edge[:2] for edge in edges))))
    place = {component: index for index, component in enumerate(components)}
    calls = np.zeros((len(components), len(components)), dtype=np.bool_)
    hosted = np.zeros_like(calls)
    for source, target, kind in edges:
        (calls if kind == "calls" else hosted)[place[source], place[target]] = source != target
    return Graph(components, calls, hosted)


def entry(components: Sequence[str], context: Context, needed_by: str) -> int:
    """Return where the search starts: the alert's component.

    Raises
    ------
    MethodError
        If there is no alert, or ``components`` do not contain its component.
    """
    if context.alert_component is None:
        raise MethodError(
            f"{needed_by} starts at the component that alerted and the case has no alert: name one "
            f"(component, metric and time)"
        )
    if context.alert_component not in components:
        raise MethodError(
            f"{needed_by} starts at the alert's component {context.alert_component}, which is not "
            f"in the topology: {_few(components)}"
        )
    return list(components).index(context.alert_component)


def _few(names: Iterable[str], limit: int = 8) -> str:
    listed = sorted(names)
    rest = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {rest} more" if rest > 0 else "")


def personalised_pagerank(weights: Floats, preference: Floats, damping: float) -> Floats:
    """Return the stationary distribution of a walk that restarts, by one linear solve.

    Jeh and Widom, Scaling Personalized Web Search, WWW 2003, equation 1. A walker that has
    nowhere to go restarts.

    Parameters
    ----------
    weights
        Shape (n, n), at least 0: how attractive the step from row to column is.
    preference
        Shape (n,), at least 0: where the walker restarts; uniform if it is all 0.
    damping
        Probability of a step rather than a restart, from 0 to below 1.

    Returns
    -------
    Floats
        Shape (n,), sums to 1.
    """
    size = preference.size
    total = preference.sum()
    restart = preference / total if total > 0 else np.full(size, 1.0 / size)
    leaving = weights.sum(axis=1, keepdims=True)
    steps = np.divide(weights, leaving, out=np.zeros_like(weights), where=leaving > 0)
    steps = np.where(leaving > 0, steps, restart)
    ranks: Floats = np.linalg.solve(np.eye(size) - damping * steps.T, (1 - damping) * restart)
    shares: Floats = ranks / ranks.sum()
    return shares


def observe(case: CaseView, context: Context, options: WindowOptions) -> Windows:
    """Put all metrics side by side, those of the alert's component too, with their two windows.

    Where :func:`rca_engine.methods._windows.windows` leaves the alert's symptoms out, for they are
    no answer, a search that starts from them needs them. A row at ``t`` stands for the time from
    ``t`` to a step later, which matters where rows are minutes long: the row in which the alert
    falls is anomalous, and one that ends within the guard is neither. Long rows also stretch the
    horizon, to twice their step.

    Raises
    ------
    MethodError
        If either window is too short, or no metric has values in both.
    """
    matrix = case.matrix
    if matrix.empty:
        raise MethodError("the case has no metrics")
    times: Ints = pd.DatetimeIndex(matrix.index).as_unit("ns").asi8
    values: Floats = matrix.to_numpy(dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    step_ns = round(case.step_s * NS)
    start_ns, stop_ns = _incident(times, values, context, options, step_ns)
    normal: Mask = times + step_ns <= start_ns - round(options.guard_s * NS)
    anomalous: Mask = (times + step_ns > start_ns) & (times <= stop_ns)
    _long_enough(normal, anomalous, case.step_s)
    known = np.isfinite(values)
    usable = (known[normal].sum(axis=0) >= _LEAST_NORMAL) & known[anomalous].any(axis=0)
    if not usable.any():
        raise MethodError("no metric has values both before and after the alert")
    keys = tuple(
        (str(key[0]), str(key[1]))
        for key, keep in zip(matrix.columns.to_flat_index(), usable, strict=True)
        if keep
    )
    metrics = tuple(metric_of(case, name) for _, name in keys)
    return Windows(keys, metrics, times, values[:, usable], normal, anomalous, start_ns)


def _incident(
    times: Ints, values: Floats, context: Context, options: WindowOptions, step_ns: int
) -> tuple[int, int]:
    """Return when the anomalous window starts and ends, in ns."""
    start_ns, stop_ns = context.time_ns, int(times[-1])
    if start_ns is None:
        if times.size < _QUIET_STEPS + _LASTING_STEPS:
            raise MethodError(
                f"{times.size} steps are too few to find an incident in, "
                f"{_QUIET_STEPS + _LASTING_STEPS} are needed: tell the time of the alert"
            )
        ranked = _changepoint.ranks(values)
        found = _changepoint.strongest_interval(ranked, before=_QUIET_STEPS, least=_LASTING_STEPS)
        first, stop = found or (_QUIET_STEPS, times.size)
        start_ns, stop_ns = int(times[first]), int(times[stop - 1])
    if options.horizon_s is not None:
        stop_ns = min(stop_ns, start_ns + max(round(options.horizon_s * NS), 2 * step_ns))
    return start_ns, stop_ns


def _long_enough(normal: Mask, anomalous: Mask, step_s: float) -> None:
    for name, window, least in (
        ("normal", normal, _LEAST_NORMAL),
        ("anomalous", anomalous, _LEAST_ANOMALOUS),
    ):
        if window.sum() < least:
            raise MethodError(
                f"the {name} window has {window.sum()} rows of {step_s:g} s, at least {least} are "
                f"needed: is the alert's time inside the case?"
            )
