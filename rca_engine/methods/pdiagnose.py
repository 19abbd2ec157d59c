# SPDX-License-Identifier: Apache-2.0
"""PDiagnose: anomalies of metrics, logs and traces are put into queues, and the queues vote.

1. Metrics (section III-B): each is smoothed by a weighted moving average, the last step weighing
   most; a kernel density of its normal values tells how unlikely each later value is. A metric with
   unlikely values in at least ``share`` of its steps enters the metric queue.
2. Logs (section III-C): lines with an error level or an error word enter the log queue.
3. Traces (section III-D): spans that failed, or whose duration is unlikely for their operation,
   enter the trace queue.
4. Vote (section III-E): a component has a vote for each of its entries; the most votes win.

Departures from the paper:

- Logs and spans are held against the normal window too: a component votes with the share of its
  lines and spans that are errors beyond its share before. A service that always logs errors is no
  suspect, and one that is called more often is none either.
- Each queue has one vote to share out in proportion, so that spans, of which there are thousands,
  do not swamp metrics.
- Duration of a span: more than ``sigmas`` standard deviations of its logarithm above the mean of
  its operation; an operation that is new has no normal duration.
- Works with any of the sources; those that are missing are told. A component without metrics, logs
  or spans has no vote in that queue.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.logs.templates import error_lines
from rca_engine.methods import method
from rca_engine.methods._periods import Periods, metric_windows, missing, periods, require_any
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._traces import Spans, mean_and_spread, span_evidence, spans_of
from rca_engine.methods._windows import WindowOptions, Windows
from rca_engine.ranking import Candidate, Context, Evidence, Ranking, Signal

_LEAST = 5
"""Spans of an operation, or lines of a component, without which nothing is unusual."""
_FLOOR = 0.05
"""Least standard deviation of a log duration: five per cent."""
_LEAST_RISE = 0.01
"""Least rise of a share of errors that is a vote."""
_RELATIVE = 1e-9

Votes = Mapping[str, float]


@method(
    "pdiagnose",
    sources={"metrics", "logs", "traces"},
    paper="Hou et al., Diagnosing Performance Issues in Microservices with Heterogeneous Data "
    "Source, ISPA 2021",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    smoothing: int = 3,
    likelihood: float = 0.001,
    share: float = 0.5,
    sigmas: float = 3.0,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank components by the votes of anomalous metrics, error lines and anomalous spans."""
    if smoothing < 1 or not 0.0 < likelihood < 1.0 or not 0.0 < share <= 1.0 or sigmas <= 0:
        raise MethodError(
            "smoothing must be at least 1, likelihood and share between 0 and 1, sigmas above 0"
        )
    at = periods(case, context, WindowOptions(guard_s, horizon_s))
    require_any(case, at)
    queues: list[Votes] = []
    metrics: tuple[Candidate, ...] = ()
    signals: dict[str, tuple[Signal, ...]] = {}
    if not case.table("metrics").empty:
        data = metric_windows(case, context, at)
        unlikely = metric_votes(data, smoothing, likelihood, share)
        queues.append(_by_component([component for component, _ in data.keys], unlikely))
        metrics = _metric_candidates(data, unlikely)
    if not case.table("logs").empty:
        queues.append(log_votes(case.table("logs"), at))
    if not case.table("traces").empty:
        spans = spans_of(case.table("traces"))
        votes, signals = span_votes(spans, at, sigmas)
        queues.append(votes)
    return Ranking((*_elect(queues, signals), *metrics), at.start_ns, missing(case))


def metric_votes(data: Windows, smoothing: int, likelihood: float, share: float) -> Floats:
    """Return each metric's share of unlikely steps, 0 where it is less than ``share``.

    The density's bandwidth is Silverman's, and its tail probability two-sided.
    """
    from scipy.special import ndtr  # heavy, and only used here

    smooth = _moving_average(data.values, smoothing)
    votes = np.zeros(len(data.keys))
    resolution = np.nan_to_num(data.resolution())
    for column in range(votes.size):
        normal = smooth[data.normal, column]
        normal = normal[np.isfinite(normal)]
        later = smooth[data.anomalous, column]
        later = later[np.isfinite(later)]
        if not later.size or not normal.size:
            continue
        spread = min(float(normal.std()), float(np.subtract(*np.quantile(normal, (0.75, 0.25)))))
        spread = spread or float(normal.std())
        width = 0.9 * spread * normal.size**-0.2
        width = max(width, resolution[column], _RELATIVE * float(np.abs(normal).max()), 1e-12)
        below = ndtr((later[:, None] - normal[None, :]) / width).mean(axis=1)
        unlikely = float((np.minimum(below, 1.0 - below) * 2.0 < likelihood).mean())
        votes[column] = unlikely if unlikely >= share else 0.0
    return votes


def log_votes(logs: pd.DataFrame, at: Periods) -> Votes:
    """Return by how much each component's share of error lines rose beyond chance."""
    times = pd.DatetimeIndex(logs["timestamp"]).as_unit("ns").asi8
    components, place = np.unique(logs["component"].to_numpy(dtype=str), return_inverse=True)
    rise = _rise(error_lines(logs), place, components.size, at.normal(times), at.anomalous(times))
    return {str(components[at_]): float(rise[at_]) for at_ in np.flatnonzero(rise > 0)}


def span_votes(
    spans: Spans, at: Periods, sigmas: float
) -> tuple[Votes, dict[str, tuple[Signal, ...]]]:
    """Return by how much each component's share of anomalous spans rose, and its worst ones."""
    before = at.normal(spans.trace_start_ns)[spans.trace]
    after = at.anomalous(spans.trace_start_ns)[spans.trace]
    operations = len(spans.operations)
    log_ms = np.log1p(spans.own_ms)
    mean, spread, size = mean_and_spread(log_ms[before], spans.operation[before], operations)
    limit = np.where(size >= _LEAST, mean + sigmas * np.fmax(spread, _FLOOR), np.inf)
    odd = spans.error | (log_ms > limit[spans.operation])
    rise = _rise(odd, spans.component, len(spans.components), before, after)
    votes = {spans.components[place]: float(rise[place]) for place in np.flatnonzero(rise > 0)}
    counts = np.bincount(spans.operation[odd & after], minlength=operations)
    evidence = span_evidence(spans, before, after)
    worst = sorted(np.flatnonzero(counts), key=lambda op: (-counts[op], spans.operations[op]))
    signals: dict[str, tuple[Signal, ...]] = {}
    for operation in worst:
        component = spans.operations[operation][0]
        signals[component] = (*signals.get(component, ()), evidence[operation])[:3]
    return votes, signals


def _rise(odd: Mask, group: Ints, groups: int, before: Mask, after: Mask) -> Floats:
    """Return how much each group's share of odd entries rose; 0 where chance explains it."""

    def counted(mask: Mask) -> tuple[Floats, Floats]:
        whole = np.bincount(group[mask], minlength=groups).astype(np.float64)
        return np.bincount(group[mask & odd], minlength=groups).astype(np.float64), whole

    (odd_before, all_before), (odd_after, all_after) = counted(before), counted(after)
    share_before = odd_before / np.maximum(all_before, 1.0)
    share_after = odd_after / np.maximum(all_after, 1.0)
    # The spread of a share that is as large as both windows together make it, with one odd entry
    # and one normal one added, so that it is never 0.
    pooled = (odd_before + odd_after + 1.0) / (all_before + all_after + 2.0)
    sizes = 1.0 / np.maximum(all_before, 1.0) + 1.0 / np.maximum(all_after, 1.0)
    rise = share_after - share_before
    real = (rise > _LEAST_RISE) & (rise > 2.0 * np.sqrt(pooled * (1.0 - pooled) * sizes))
    return np.where(real & (odd_after > 0), rise, 0.0)


def _moving_average(values: Floats, length: int) -> Floats:
    """Return the weighted mean of each step and those before, unknown ones left out.

    The weights fall linearly with age. Shape (steps, metrics), as ``values``.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    total, weights = np.zeros_like(filled), np.zeros_like(filled)
    for age in range(min(length, values.shape[0])):
        rows = values.shape[0] - age
        total[age:] += (length - age) * filled[:rows]
        weights[age:] += (length - age) * known[:rows]
    mean = np.divide(total, weights, out=np.full_like(total, np.nan), where=weights > 0)
    return np.where(known, mean, np.nan)


def _by_component(components: list[str], votes: Floats) -> Votes:
    total: dict[str, float] = {}
    for component, vote in zip(components, votes.tolist(), strict=True):
        if vote > 0:
            total[component] = total.get(component, 0.0) + vote
    return total


def _metric_candidates(data: Windows, votes: Floats) -> tuple[Candidate, ...]:
    values = data.values  # noqa: PD011 - an array
    before = np.nanmedian(values[data.normal], axis=0) if data.keys else np.zeros(0)
    after = np.nanmedian(values[data.anomalous], axis=0) if data.keys else np.zeros(0)
    found = []
    for column in np.flatnonzero(votes > 0):
        component, name = data.keys[column]
        evidence = Evidence(
            before=float(before[column]),
            after=float(after[column]),
            direction="up" if after[column] >= before[column] else "down",
            unit=data.metrics[column].unit,
            first_deviation_ns=None,
        )
        found.append(Candidate(component, float(votes[column]), name, evidence))
    return tuple(sorted(found, key=lambda each: (-each.score, each.component, each.metric or "")))


def _elect(queues: list[Votes], signals: Mapping[str, tuple[Signal, ...]]) -> tuple[Candidate, ...]:
    """Let each queue share out one vote."""
    score: dict[str, float] = {}
    for queue in queues:
        total = sum(queue.values())
        for component, vote in queue.items():
            score[component] = score.get(component, 0.0) + vote / total
    found = [
        Candidate(component, value, signals=signals.get(component, ()))
        for component, value in score.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.score, each.component)))
