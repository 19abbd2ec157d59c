# SPDX-License-Identifier: Apache-2.0
"""Metrics, logs and traces as series on one grid of time.

Sources
    The metrics' mean in each step; the lines of each component by template; the mean latency and
    the failures of each operation. A series is known by (source, component, name): equal names of
    two sources are two series.
Silence
    No line of a template in a step is 0 lines if any component wrote one then, and unknown if none
    did: a gap in the harvest is no silence. A latency without a span is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.logs.templates import count_templates
from rca_engine.methods._scores import Floats, Ints
from rca_engine.methods._traces import spans_of
from rca_engine.model import NS

Key = tuple[str, str, str]

_TIMES = {"metrics": "timestamp", "logs": "timestamp", "traces": "start"}


@dataclass(frozen=True)
class Grid:
    """Series side by side, in order of their keys.

    Parameters
    ----------
    keys
        (source, component, name); sources are ``metrics``, ``logs``, ``latency``, ``errors``.
    times
        Shape (steps,): the start of each step, UTC nanoseconds.
    step_ns
        Length of a step.
    values
        Shape (steps, series); NaN where nothing is known.
    """

    keys: tuple[Key, ...]
    times: Ints
    step_ns: int
    values: Floats


def build(case: CaseView, origin_ns: int, step_s: float) -> Grid:
    """Put every source that the method declared and the case has onto one grid.

    Parameters
    ----------
    case
        The case.
    origin_ns
        A boundary between two steps: the alert, so that no step mixes before and after.
    step_s
        Length of a step.

    Raises
    ------
    MethodError
        If no source has any data.
    """
    step_ns = max(round(step_s * NS), 1)
    tables = {name: _within(case, name) for name in _TIMES if name in case.tables}
    parts = [
        read(tables[name], origin_ns, step_ns)
        for name, read in (("metrics", _metrics), ("logs", _logs), ("traces", _traces))
        if name in tables and not tables[name].empty
    ]
    if not parts:
        raise MethodError(f"the case has none of {', '.join(sorted(case.tables))}")
    first = min(int(part.steps.min()) for part in parts)
    last = max(int(part.steps.max()) for part in parts)
    keys = [key for part in parts for key in part.keys]
    values = np.full((last - first + 1, len(keys)), np.nan)
    column = 0
    for part in parts:
        values[part.steps - first, column : column + len(part.keys)] = part.series
        column += len(part.keys)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    times = origin_ns + step_ns * np.arange(first, last + 1, dtype=np.int64)
    return Grid(tuple(keys[at] for at in order), times, step_ns, values[:, order])


def _within(case: CaseView, name: str) -> pd.DataFrame:
    """Return a table's rows of the case's window: one stray time must not stretch the grid."""
    table = case.tables[name]
    times = times_ns(table, name)
    return table[(times >= case.window.start_ns) & (times <= case.window.end_ns)]


def times_ns(table: pd.DataFrame, name: str) -> Ints:
    """Return when each row of a table of metrics, logs or traces is; UTC nanoseconds."""
    return np.asarray(pd.DatetimeIndex(table[_TIMES[name]]).as_unit("ns").asi8, dtype=np.int64)


@dataclass(frozen=True)
class _Part:
    """Series of one source; ``series`` has the shape (steps, keys)."""

    keys: list[Key]
    steps: Ints
    series: Floats


def _steps_of(table: pd.DataFrame, name: str, origin_ns: int, step_ns: int) -> Ints:
    return (times_ns(table, name) - origin_ns) // step_ns


def _metrics(table: pd.DataFrame, origin_ns: int, step_ns: int) -> _Part:
    wide = table.assign(step=_steps_of(table, "metrics", origin_ns, step_ns)).pivot_table(
        index="step", columns=["component", "metric"], values="value", aggfunc="mean"
    )
    keys = [("metrics", str(key[0]), str(key[1])) for key in wide.columns.to_flat_index()]
    return _Part(keys, wide.index.to_numpy(dtype=np.int64), wide.to_numpy(dtype=np.float64))


def _logs(table: pd.DataFrame, origin_ns: int, step_ns: int) -> _Part:
    steps, period = np.unique(_steps_of(table, "logs", origin_ns, step_ns), return_inverse=True)
    counted = count_templates(table, period.astype(np.int64), steps.size)
    return _Part([("logs", *key) for key in counted.keys], steps, counted.counts.T)


def _traces(table: pd.DataFrame, origin_ns: int, step_ns: int) -> _Part:
    spans = spans_of(table)
    steps, period = np.unique((spans.start_ns - origin_ns) // step_ns, return_inverse=True)
    shape = (steps.size, len(spans.operations))
    cell = period * shape[1] + spans.operation
    cells = shape[0] * shape[1]
    size = np.bincount(cell, minlength=cells)
    latency = np.bincount(cell, spans.duration_ms, minlength=cells)
    mean = np.divide(latency, size, out=np.full(cells, np.nan), where=size > 0).reshape(shape)
    failures = np.bincount(cell, spans.error.astype(np.float64), minlength=cells).reshape(shape)
    keys = [(source, *key) for source in ("latency", "errors") for key in spans.operations]
    return _Part(keys, steps, np.concatenate([mean, failures], axis=1))
