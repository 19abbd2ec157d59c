# SPDX-License-Identifier: Apache-2.0
"""A case's traces as arrays: what the trace methods share.

Nothing here trusts the table: spans whose parent is absent are roots, a span that names itself its
parent is one too, and a span that was exported twice counts once. Spans are in an order of their
own (trace, start, id), so that the order of the rows changes nothing.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.ranking import SpanEvidence

_ERROR = re.compile(r"err|fail|exception|abort|timeout|unavailable|^[45]\d\d$|^2$", re.IGNORECASE)
"""Status of a failed span: OpenTelemetry's (ERROR, or its code 2), gRPC's words, HTTP's codes."""

_MS = 1e-6
"""Milliseconds in a nanosecond."""

Operation = tuple[str, str]
Strings = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Spans:
    """Spans side by side; each array has the shape (spans,) unless said.

    Parameters
    ----------
    operations
        (component, name) of each operation, sorted.
    components
        Sorted.
    trace
        Number of the trace.
    operation, parent
        Place in ``operations``; row of the parent, -1 for none.
    start_ns
        UTC nanoseconds.
    duration_ms, own_ms
        From start to end; the part of it that no child covers.
    error
        Whether the span failed.
    component_of
        Shape (operations,): place in ``components``.
    span_ids, trace_ids
        Shapes (spans,) and (traces,), as the table has them.
    """

    operations: tuple[Operation, ...]
    components: tuple[str, ...]
    trace: Ints
    operation: Ints
    parent: Ints
    start_ns: Ints
    duration_ms: Floats
    own_ms: Floats
    error: Mask
    component_of: Ints
    span_ids: Strings
    trace_ids: Strings

    @property
    def size(self) -> int:
        """Number of spans."""
        return int(self.trace.size)

    @functools.cached_property
    def traces(self) -> int:
        """Number of traces."""
        return int(self.trace.max()) + 1 if self.size else 0

    @functools.cached_property
    def component(self) -> Ints:
        """Each span's place in ``components``."""
        return self.component_of[self.operation]

    @functools.cached_property
    def trace_start_ns(self) -> Ints:
        """When each trace began; shape (traces,)."""
        starts = np.full(self.traces, np.iinfo(np.int64).max, dtype=np.int64)
        np.minimum.at(starts, self.trace, self.start_ns)
        return starts

    @functools.cached_property
    def caller(self) -> Ints:
        """The calling component's place where a span enters another component; else -1."""
        known = self.parent >= 0
        above = np.where(known, self.component[self.parent], -1)
        return np.where(above == self.component, -1, above)

    @functools.cached_property
    def entry(self) -> Mask:
        """Whether a span enters its component: called from another one, or a root."""
        return (self.parent < 0) | (self.caller >= 0)

    @functools.cached_property
    def children(self) -> Ints:
        """How many children each span has."""
        counts = np.bincount(self.parent[self.parent >= 0], minlength=self.size)
        return np.asarray(counts, dtype=np.int64)

    def per_trace(self, values: Floats | Mask) -> Floats:
        """Sum a per-span array over each trace; shape (traces,)."""
        weights = values.astype(np.float64)
        total = np.bincount(self.trace, weights=weights, minlength=self.traces)
        return np.asarray(total, dtype=np.float64)


def read_spans(case: CaseView) -> Spans:
    """Read the case's traces.

    Raises
    ------
    MethodError
        If there is none.
    """
    table = case.table("traces")
    if table.empty:
        raise MethodError(
            "the case has no traces; harvest them, or use a method that reads metrics or logs"
        )
    return spans_of(table)


def spans_of(table: pd.DataFrame) -> Spans:
    """Put a ``traces`` table into arrays; it may be empty."""
    columns = ["trace_id", "span_id", "parent_span_id", "component", "name", "duration", "status"]
    spans = table[columns].assign(start_ns=pd.DatetimeIndex(table["start"]).as_unit("ns").asi8)
    spans = spans.sort_values(["trace_id", "start_ns", "span_id", "duration"], kind="stable")
    spans = spans.drop_duplicates(["trace_id", "span_id"], ignore_index=True)
    operations = pd.MultiIndex.from_frame(spans[["component", "name"]].astype(str))
    operation, known = operations.factorize(sort=True)
    names = [(str(component), str(name)) for component, name in known]
    components = tuple(sorted({component for component, _ in names}))
    place = {component: at for at, component in enumerate(components)}
    start_ns = spans["start_ns"].to_numpy(dtype=np.int64)
    duration_ns = spans["duration"].to_numpy(dtype=np.int64).clip(min=0)
    parent = _parents(spans)
    failed = {status: bool(_ERROR.search(status)) for status in spans["status"].astype(str)}
    return Spans(
        operations=tuple(names),
        components=components,
        trace=np.asarray(spans["trace_id"].factorize()[0], dtype=np.int64),
        operation=np.asarray(operation, dtype=np.int64),
        parent=parent,
        start_ns=start_ns,
        duration_ms=duration_ns * _MS,
        own_ms=np.asarray((duration_ns - _covered_ns(start_ns, duration_ns, parent)) * _MS),
        error=spans["status"].astype(str).map(failed).to_numpy(dtype=np.bool_),
        component_of=np.array([place[component] for component, _ in names], dtype=np.int64),
        span_ids=spans["span_id"].to_numpy(dtype=object),
        trace_ids=spans["trace_id"].unique().astype(object),
    )


@dataclass(frozen=True)
class Visits:
    """Each operation that a trace came by, once, however often it called it.

    Parameters
    ----------
    trace, operation
        Shape (visits,).
    of_span
        Shape (spans,): the visit that each span belongs to.
    """

    trace: Ints
    operation: Ints
    of_span: Ints

    def mean(self, values: Floats) -> Floats:
        """Return the mean of a per-span array over each visit; shape (visits,)."""
        calls = np.bincount(self.of_span, minlength=self.trace.size)
        return np.bincount(self.of_span, weights=values, minlength=self.trace.size) / calls


def visits_of(spans: Spans) -> Visits:
    """Return what each trace came by."""
    operations = max(len(spans.operations), 1)
    visits, of_span = np.unique(spans.trace * operations + spans.operation, return_inverse=True)
    return Visits(visits // operations, visits % operations, of_span.astype(np.int64))


def take_traces(spans: Spans, traces: Mask) -> Spans:
    """Return the spans of some traces only, the traces numbered anew."""
    kept = traces[spans.trace]
    row = np.cumsum(kept) - 1
    parent = spans.parent[kept]
    return replace(
        spans,
        trace=(np.cumsum(traces) - 1)[spans.trace[kept]],
        operation=spans.operation[kept],
        # A parent is of the same trace, so it was kept too.
        parent=np.where(parent >= 0, row[parent], -1),
        start_ns=spans.start_ns[kept],
        duration_ms=spans.duration_ms[kept],
        own_ms=spans.own_ms[kept],
        error=spans.error[kept],
        span_ids=spans.span_ids[kept],
        trace_ids=spans.trace_ids[traces],
    )


def mean_and_spread(values: Floats, group: Ints, groups: int) -> tuple[Floats, Floats, Ints]:
    """Return mean, standard deviation and size of each group; the first two NaN where it is empty.

    Parameters
    ----------
    values, group
        Shape (values,); ``group`` from 0 to ``groups`` - 1.
    groups
        Their number.
    """
    size = np.bincount(group, minlength=groups)
    divisor = np.where(size > 0, size, 1)
    mean = np.bincount(group, weights=values, minlength=groups) / divisor
    spread = np.bincount(group, weights=(values - mean[group]) ** 2, minlength=groups) / divisor
    empty = size == 0
    return np.where(empty, np.nan, mean), np.where(empty, np.nan, np.sqrt(spread)), size


def span_evidence(spans: Spans, before: Mask, after: Mask) -> list[SpanEvidence]:
    """Say of each operation how long it took, how often it was called, and how often it failed.

    Parameters
    ----------
    spans
        All spans.
    before, after
        Shape (spans,): those of the normal and of the anomalous window.
    """
    operations = len(spans.operations)
    durations = pd.Series(spans.duration_ms)
    medians = [
        durations[mask].groupby(spans.operation[mask]).median().to_dict()
        for mask in (before, after)
    ]
    counts = [
        np.bincount(spans.operation[mask], minlength=operations)
        for mask in (before, after, after & spans.error)
    ]
    return [
        SpanEvidence(
            operation=name,
            before_ms=medians[0].get(place),
            after_ms=medians[1].get(place),
            count_before=int(counts[0][place]),
            count=int(counts[1][place]),
            errors=int(counts[2][place]),
        )
        for place, (_, name) in enumerate(spans.operations)
    ]


def _parents(spans: pd.DataFrame) -> Ints:
    rows = pd.Series(np.arange(len(spans)), index=[spans["trace_id"], spans["span_id"]])
    wanted = pd.MultiIndex.from_arrays([spans["trace_id"], spans["parent_span_id"]])
    parent = rows.reindex(wanted).fillna(-1).to_numpy(dtype=np.int64)
    return np.where(parent == np.arange(len(spans)), -1, parent)


def _covered_ns(start_ns: Ints, duration_ns: Ints, parent: Ints) -> Ints:
    """Return how much of each span its children cover; children that overlap count once."""
    covered = np.zeros(start_ns.size, dtype=np.int64)
    child = np.flatnonzero(parent >= 0)
    if not child.size:
        return covered
    above = parent[child]
    begin = np.clip(start_ns[child] - start_ns[above], 0, duration_ns[above])
    end = np.clip(start_ns[child] + duration_ns[child] - start_ns[above], 0, duration_ns[above])
    order = np.lexsort((end, begin, above))
    above, begin, end = above[order], begin[order], end[order]
    # One running maximum over all parents: each parent's times lie above those of the one before.
    first = np.concatenate([[True], above[1:] != above[:-1]])
    offset = (np.cumsum(first) - 1) * (int(duration_ns.max()) + 1)
    reached = np.maximum.accumulate(end + offset) - offset
    before = np.where(first, 0, np.concatenate([[0], reached[:-1]]))
    np.add.at(covered, above, np.clip(end - np.maximum(begin, before), 0, None))
    return covered
