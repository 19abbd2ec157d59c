# SPDX-License-Identifier: Apache-2.0
"""Which operations take longer themselves, or fail more often, than before.

Calls of one operation in one trace are one observation, for they are not independent. Latency
drifts by itself, with caches and the time of day: a change of its mean counts by its significance
or by its size, whichever is less, and its size is 1 if the typical call is one of three normal
standard deviations.
"""

from __future__ import annotations

import numpy as np

from rca_engine.methods._periods import Periods
from rca_engine.methods._scores import Floats
from rca_engine.methods._surprise import (
    AFTER,
    HALVES,
    PERIODS,
    Surprise,
    chance_level,
    excess,
    found,
    proportions,
    thirds,
)
from rca_engine.methods._traces import Spans, mean_and_spread, span_evidence, visits_of

_SIGMAS = 3.0
_LEAST = 3
"""Traces in each period without which a mean says nothing."""
_FLOOR = 0.05
"""Least standard deviation of a log duration: five per cent."""


def in_traces(spans: Spans, at: Periods) -> Surprise:
    """Find operations that take longer themselves, or fail more often, than before."""
    visits = visits_of(spans)
    period = thirds(spans.trace_start_ns, at)
    mine = period[visits.trace]
    kept = mine >= 0
    shape = (len(spans.operations), PERIODS)
    cell = visits.operation[kept] * PERIODS + mine[kept]
    own = visits.mean(np.log1p(spans.own_ms))[kept]
    failed = visits.mean(spans.error.astype(np.float64))[kept] > 0
    mean, spread, size = mean_and_spread(own, cell, shape[0] * PERIODS)
    count = size.reshape(shape).astype(np.float64)
    errors = np.bincount(cell, failed.astype(np.float64), minlength=mean.size)
    changed = _changed(mean.reshape(shape), spread.reshape(shape), count)
    failing = proportions(np.asarray(errors.reshape(shape), dtype=np.float64), count)
    of_span = period[spans.trace]
    signals = span_evidence(spans, (of_span >= 0) & (of_span < HALVES), of_span == AFTER)
    names = [
        (component, f"{what} of {name}")
        for what in ("latency", "errors")
        for component, name in spans.operations
    ]
    return found("traces", names, np.concatenate([changed, failing]), [*signals, *signals])


def _changed(mean: Floats, spread: Floats, count: Floats) -> Floats:
    """Return by how much means changed beyond their drift; 0 where too few traces tell.

    Shapes (operations, periods). The unit is that of a standard normal score.
    """
    known = np.where(count > 0, mean, 0.0)
    square = np.where(count > 0, spread**2 + mean**2, 0.0)
    before = count[:, :HALVES].sum(axis=1)
    divisor = np.maximum(before, 1.0)
    normal = (known[:, :HALVES] * count[:, :HALVES]).sum(axis=1) / divisor
    variance = (square[:, :HALVES] * count[:, :HALVES]).sum(axis=1) / divisor - normal**2
    deviation = np.sqrt(np.maximum(variance, _FLOOR**2))

    def apart(left: Floats, right: Floats, left_n: Floats, right_n: Floats) -> Floats:
        sizes = 1.0 / np.maximum(left_n, 1.0) + 1.0 / np.maximum(right_n, 1.0)
        enough = (left_n >= _LEAST) & (right_n >= _LEAST)
        return np.where(enough, (left - right) / (deviation * np.sqrt(sizes)), 0.0)

    after = apart(known[:, AFTER], normal, count[:, AFTER], before)
    significance = excess(after, apart(known[:, 1], known[:, 0], count[:, 1], count[:, 0]))
    size = np.abs(known[:, AFTER] - normal) / (_SIGMAS * deviation)
    score: Floats = np.minimum(significance, size * chance_level(2 * mean.shape[0]))
    return score
