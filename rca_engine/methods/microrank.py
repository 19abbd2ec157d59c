# SPDX-License-Identifier: Apache-2.0
"""MicroRank: which operations lie on the slow traces and not on the normal ones.

1. Detection (section 4.2): a trace is abnormal if it takes longer than its operations are expected
   to, each by the mean and ``sigmas`` standard deviations of the normal window.
2. PageRank scorer (section 4.3): personalised PageRank over operations, their calls and the traces
   that cover them, once for the abnormal traces and once for the normal ones. A trace with few
   operations says more of each of them, and each kind of trace (set of operations) weighs the same.
3. Weighted spectrum (section 4.4): how many abnormal and normal traces cover an operation or do
   not, each weighed by its PageRank, in the formula dstar2.

Departures from the paper:

- The latency of a trace is the sum of the time that each span does not spend in its children, and
  so are the expectations: inclusive times would count a slow callee in every caller.
- An operation that was never seen before the alert has no expectation: its own time counts on
  neither side, but it takes part in the graphs.
- ``failures``: a trace with a failed span is abnormal too (the paper has latency only).
- PageRank is solved as a linear system; traces of one kind are one node, which changes nothing.
- dstar2 has one normal trace added below the line, so that an operation that no normal trace
  covers and every abnormal one does has a finite score.
- A component is as suspect as its most suspect operation. Without an abnormal trace the answer is
  that there is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._periods import periods, require
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._traces import (
    Spans,
    mean_and_spread,
    read_spans,
    span_evidence,
    take_traces,
)
from rca_engine.methods._windows import WindowOptions
from rca_engine.ranking import Candidate, Context, Ranking


@dataclass(frozen=True)
class _Options:
    """The paper's d, alpha and phi, in its values by default."""

    damping: float
    call_weight: float
    kind_share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.damping < 1.0 or not 0.0 <= self.kind_share <= 1.0:
            raise MethodError("damping must be between 0 and 1, and kind_share from 0 to 1")
        if not 0.0 <= self.call_weight <= 0.1:
            raise MethodError(f"call_weight must be from 0 to 0.1, got {self.call_weight}")


@method(
    "microrank",
    sources={"traces"},
    paper="Yu et al., MicroRank: End-to-End Latency Issue Localization with Extended Spectrum "
    "Analysis in Microservice Environments, WWW 2021",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    sigmas: float = 1.5,
    failures: bool = True,
    damping: float = 0.85,
    call_weight: float = 0.01,
    kind_share: float = 0.5,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank operations by the slow traces that they lie on, weighed by PageRank."""
    options = _Options(damping, call_weight, kind_share)
    spans = read_spans(case)
    at = periods(case, context, WindowOptions(guard_s, horizon_s))
    before, after = at.normal(spans.trace_start_ns), at.anomalous(spans.trace_start_ns)
    require("traces", before, after, at)
    slow = slow_traces(spans, before, sigmas)
    abnormal = after & (slow | ((spans.per_trace(spans.error) > 0) if failures else False))
    if not abnormal.any():
        return Ranking((), time_ns=at.start_ns)
    score = _spectrum(
        *_covered(take_traces(spans, abnormal), options),
        *_covered(take_traces(spans, after & ~abnormal), options),
    )
    return Ranking(_candidates(spans, score, before, after), time_ns=at.start_ns)


def slow_traces(spans: Spans, normal: Mask, sigmas: float) -> Mask:
    """Return which traces take longer than their operations are expected to; shape (traces,).

    Parameters
    ----------
    spans
        All spans.
    normal
        Shape (traces,): those that the expectations come from.
    sigmas
        Standard deviations above the mean that are still expected.
    """
    learnt = normal[spans.trace]
    mean, spread, _ = mean_and_spread(
        spans.own_ms[learnt], spans.operation[learnt], len(spans.operations)
    )
    expected = (mean + sigmas * spread)[spans.operation]
    known = np.isfinite(expected)
    took = spans.per_trace(np.where(known, spans.own_ms, 0.0))
    return np.asarray(took > spans.per_trace(np.where(known, expected, 0.0)))


def _covered(spans: Spans, options: _Options) -> tuple[Floats, Floats, int]:
    """Return each operation's PageRank (mean 1) and traces that cover it, and all traces."""
    operations = len(spans.operations)
    if not spans.size:
        return np.zeros(operations), np.zeros(operations), 0
    seen = np.zeros((spans.traces, operations), dtype=np.bool_)
    seen[spans.trace, spans.operation] = True
    kinds, traces_of_kind = np.unique(seen, axis=0, return_counts=True)
    weight = _page_rank(kinds.astype(np.float64), traces_of_kind, _calls(spans), options)
    covering = kinds.T.astype(np.float64) @ traces_of_kind
    some = covering > 0
    return weight / weight[some].mean() * some, covering, spans.traces


def _calls(spans: Spans) -> Floats:
    """Return the share of each operation's calls that go to each other; columns sum to 1 or 0."""
    operations = len(spans.operations)
    child = np.flatnonzero(spans.parent >= 0)
    counts = np.zeros((operations, operations))
    np.add.at(counts, (spans.operation[child], spans.operation[spans.parent[child]]), 1.0)
    return _by_column(counts)


def _page_rank(kinds: Floats, traces_of_kind: Ints, calls: Floats, options: _Options) -> Floats:
    """Solve the personalised PageRank of operations and kinds of traces (equations 3 to 6).

    Parameters
    ----------
    kinds
        Shape (kinds, operations): 1 where the kind covers the operation.
    traces_of_kind
        Shape (kinds,).
    calls
        Shape (operations, operations), columns are callers.

    Returns
    -------
    Floats
        Shape (operations,).
    """
    size = traces_of_kind.astype(np.float64)
    # A trace gives its rank to the operations that it covers, an operation to the traces.
    to_operations = _by_column(kinds.T)
    to_kinds = _by_column(kinds * size[:, None])
    narrow = size / kinds.sum(axis=1)
    alike = np.ones(size.size)
    preference = (
        options.kind_share * alike / alike.sum()
        + (1.0 - options.kind_share) * narrow / narrow.sum()
    )
    operations = kinds.shape[1]
    damping = options.damping
    matrix = np.eye(operations) - damping * (
        options.call_weight * calls + damping * to_operations @ to_kinds
    )
    solved: Floats = np.linalg.solve(matrix, damping * (1.0 - damping) * to_operations @ preference)
    return solved


def _by_column(matrix: Floats) -> Floats:
    total = matrix.sum(axis=0)
    shares: Floats = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    return shares


def _spectrum(
    failed_weight: Floats,
    failed_covering: Floats,
    failed: int,
    passed_weight: Floats,
    passed_covering: Floats,
    _: int,
) -> Floats:
    """Return dstar2 of each operation (table 2)."""
    suspect = failed_weight * failed_covering
    not_covered = failed_weight * (failed - failed_covering)
    score: Floats = suspect**2 / (passed_weight * passed_covering + not_covered + 1.0)
    return score


def _candidates(spans: Spans, score: Floats, before: Mask, after: Mask) -> tuple[Candidate, ...]:
    evidence = span_evidence(spans, before[spans.trace], after[spans.trace])
    order = sorted(np.flatnonzero(score > 0), key=lambda at: (-score[at], spans.operations[at]))
    found: dict[str, list[int]] = {}
    for operation in order:
        found.setdefault(spans.operations[operation][0], []).append(int(operation))
    return tuple(
        Candidate(component, float(score[mine[0]]), signals=tuple(evidence[at] for at in mine[:3]))
        for component, mine in found.items()
    )
