# SPDX-License-Identifier: Apache-2.0
"""TraceRCA: which sets of components the abnormal traces have in common.

1. Trace anomaly detection (section III-B): of each operation the useful features are those that
   leave their normal range (``sigmas`` standard deviations) more often after the alert than before;
   a span that does so in one of them is abnormal, and so is its trace.
2. Suspicious sets (section III-C): sets of components that many abnormal traces have (support) and
   few normal ones (confidence), found by mining frequent sets.
3. Ranking (section III-D): by the Jaccard index of support and confidence, and within a set by how
   often a component is the abnormal callee rather than the caller of one.

Departures from the paper:

- Features of a span are those that every tracer records: duration, failure, number of children.
  The paper also has the host's CPU, memory and network, which a span does not carry.
- Sets have up to three components and are mined level by level: with the traces put together by
  their sets of components, as sums of products of bits, no FP-tree is needed.
- A range needs ``_LEAST`` spans before the alert; an operation without, new ones among them, is
  never abnormal by itself, but its component is in the sets of its traces.
- Without an abnormal trace the answer is that there is no fault.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._periods import periods, require
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._traces import Spans, mean_and_spread, read_spans, span_evidence
from rca_engine.methods._windows import WindowOptions
from rca_engine.ranking import Candidate, Context, Ranking

_LEAST = 5
"""Spans of an operation without which there is no normal range."""
_LARGEST = 3
"""Components in a set."""
_ABSOLUTE = 1e-3
"""Least standard deviation: a microsecond, or a thousandth of a failure or of a child."""


@method(
    "tracerca",
    sources={"traces"},
    paper="Li et al., Practical Root Cause Localization for Microservice Systems via Trace "
    "Analysis, IWQoS 2021",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    sigmas: float = 3.0,
    useful: float = 0.1,
    support: float = 0.1,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank components by the sets that abnormal traces share and normal ones do not."""
    if sigmas <= 0 or not 0.0 <= useful < 1.0 or not 0.0 < support <= 1.0:
        raise MethodError(
            "sigmas must be above 0, useful from 0 to 1, and support above 0, up to 1"
        )
    spans = read_spans(case)
    at = periods(case, context, WindowOptions(guard_s, horizon_s))
    before, after = at.normal(spans.trace_start_ns), at.anomalous(spans.trace_start_ns)
    require("traces", before, after, at)
    odd = abnormal_spans(spans, before[spans.trace], after[spans.trace], sigmas, useful)
    abnormal = after & (spans.per_trace(odd) > 0)
    if not abnormal.any():
        return Ranking((), time_ns=at.start_ns)
    sets = suspicious_sets(spans, abnormal, after & ~abnormal, support)
    score = _component_scores(spans, sets, odd & after[spans.trace])
    return Ranking(_candidates(spans, score, before, after, odd), time_ns=at.start_ns)


def abnormal_spans(spans: Spans, before: Mask, after: Mask, sigmas: float, useful: float) -> Mask:
    """Return which spans are abnormal in a useful feature; shape (spans,).

    Parameters
    ----------
    spans
        All spans.
    before, after
        Shape (spans,): those of the normal and of the anomalous window.
    sigmas
        Standard deviations that end the normal range.
    useful
        How much larger the share of a feature's values outside its range must be after the alert.
    """
    odd = np.zeros(spans.size, dtype=np.bool_)
    operations = len(spans.operations)
    for feature in (spans.duration_ms, spans.error.astype(np.float64), spans.children):
        values = np.asarray(feature, dtype=np.float64)
        mean, spread, size = mean_and_spread(values[before], spans.operation[before], operations)
        limit = sigmas * np.maximum(spread, np.maximum(_ABSOLUTE, 1e-9 * np.abs(mean)))
        known = (size >= _LEAST)[spans.operation]
        outside = known & (np.abs(values - mean[spans.operation]) > limit[spans.operation])
        share_before = _share(outside, before, spans.operation, operations)
        share_after = _share(outside, after, spans.operation, operations)
        odd |= outside & (share_after > share_before + useful)[spans.operation]
    return odd


def _share(part: Mask, within: Mask, group: Ints, groups: int) -> Floats:
    whole = np.bincount(group[within], minlength=groups)
    counted = np.bincount(group[within & part], minlength=groups)
    return counted / np.maximum(whole, 1)


@dataclass(frozen=True)
class Sets:
    """Suspicious sets: places of components, and the Jaccard index of each."""

    members: tuple[tuple[int, ...], ...]
    jaccard: tuple[float, ...]


def suspicious_sets(spans: Spans, abnormal: Mask, normal: Mask, support: float) -> Sets:
    """Mine the sets of components that at least a share ``support`` of the abnormal traces have.

    ``abnormal`` and ``normal`` have the shape (traces,).
    """
    has = np.zeros((spans.traces, len(spans.components)), dtype=np.bool_)
    has[spans.trace, spans.component] = True
    kinds, kind = np.unique(has, axis=0, return_inverse=True)
    failing = np.bincount(kind[abnormal], minlength=len(kinds)).astype(np.float64)
    passing = np.bincount(kind[normal], minlength=len(kinds)).astype(np.float64)
    total = failing.sum()
    level: list[tuple[int, ...]] = [(place,) for place in range(len(spans.components))]
    members: list[tuple[int, ...]] = []
    jaccard: list[float] = []
    for _ in range(_LARGEST):
        frequent = []
        for each in level:
            covering = kinds[:, each].all(axis=1)
            failed, passed = float(failing @ covering), float(passing @ covering)
            if failed >= support * total and failed > 0:
                frequent.append(each)
                share, confidence = failed / total, failed / (failed + passed)
                members.append(each)
                jaccard.append(2.0 * share * confidence / (share + confidence))
        level = _larger(frequent)
    return Sets(tuple(members), tuple(jaccard))


def _larger(frequent: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Join sets that differ in their last member, if all their subsets are frequent (Apriori)."""
    known = set(frequent)
    joined = (
        (*left, right[-1])
        for left, right in itertools.combinations(frequent, 2)
        if left[:-1] == right[:-1]
    )
    return [
        each
        for each in joined
        if all(each[:at] + each[at + 1 :] in known for at in range(len(each)))
    ]


def _component_scores(spans: Spans, sets: Sets, odd: Mask) -> Floats:
    """Return each component's score: its best set's, shared out by the in-degree within it."""
    components = len(spans.components)
    entering = odd & spans.entry
    called = np.bincount(spans.component[entering], minlength=components)
    calling = entering & (spans.caller >= 0)
    calls = np.bincount(spans.caller[calling], minlength=components)
    inward = called / np.maximum(called + calls, 1)
    score = np.zeros(components)
    for members, jaccard in zip(sets.members, sets.jaccard, strict=True):
        mine = list(members)
        among = called[mine].max()
        if among > 0:
            local = inward[mine] * called[mine] / among
            score[mine] = np.maximum(score[mine], jaccard * local)
    return score


def _candidates(
    spans: Spans, score: Floats, before: Mask, after: Mask, odd: Mask
) -> tuple[Candidate, ...]:
    evidence = span_evidence(spans, before[spans.trace], after[spans.trace])
    counts = np.bincount(spans.operation[odd & after[spans.trace]], minlength=len(spans.operations))
    found = []
    for place in np.flatnonzero(score > 0):
        mine = np.flatnonzero((spans.component_of == place) & (counts > 0))
        strongest = sorted(mine, key=lambda at: (-counts[at], spans.operations[at]))[:3]
        found.append(
            Candidate(
                spans.components[place],
                float(score[place]),
                signals=tuple(evidence[at] for at in strongest),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.score, each.component)))
