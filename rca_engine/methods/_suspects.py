# SPDX-License-Identifier: Apache-2.0
"""The metrics that a search for causes looks at, without gaps, and the way back to a ranking.

Causal discovery costs at least the square of the number of metrics, and a cause that did not move
is none: so only the metrics that deviate most are looked at. One that moves exactly as another does
(a copy, or the same in another unit) is looked at once and shares its score. The others have the
score 0 and follow in the order of their deviations. The columns stand in an order that depends on
their values alone. What was bridged, shared or left out for want of steps, the ranking says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery._canonical import canonical_order
from rca_engine.discovery.independence import correlation
from rca_engine.errors import MethodError
from rca_engine.methods import _scores
from rca_engine.methods._evidence import evidence_of
from rca_engine.methods._heads import Trouble
from rca_engine.methods._scores import Floats, Ints, Mask, median_and_iqr
from rca_engine.methods._windows import WindowOptions, Windows, is_symptom, windows
from rca_engine.ranking import Candidate, Context, Ranking

_KNOWN = 0.5
"""Share of the steps at which a metric must be known lest the ranking say that it was bridged."""
_STEPS_A_METRIC = 3
"""Steps needed for each metric looked at: with fewer, regressions on the others mean nothing."""
_COPY = 1.0 - 1e-9
"""Absolute correlation from which one metric is the other in another unit."""


@dataclass(frozen=True)
class Options:
    """Which metrics to look at.

    Parameters
    ----------
    limit
        Most metrics to look at.
    quantile
        Of the anomalous window's distances: which counts as a metric's deviation.
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`.
    threshold
        Where no metric deviates by at least this there is no fault.
    level_share
        Least change that means anything, as a share of the level before, of a metric of unknown
        resolution.
    """

    limit: int = 40
    quantile: float = 0.5
    guard_s: float = WindowOptions.guard_s
    horizon_s: float | None = WindowOptions.horizon_s
    threshold: float = 3.0
    level_share: float = 0.01

    def __post_init__(self) -> None:
        if self.limit < 2:
            raise MethodError(f"limit must be at least 2, got {self.limit}")
        if not 0.5 <= self.quantile <= 1.0:
            raise MethodError(f"quantile must be from 0.5 to 1, got {self.quantile}")


@dataclass(frozen=True)
class Suspects:
    """The metrics looked at, and how each deviates.

    Parameters
    ----------
    data
        All metrics of the case that can be ranked, in canonical order; n of them.
    filled
        Shape (steps, n): values with gaps bridged.
    distances
        Shape (steps, n): distance from the normal median, in interquartile ranges.
    before
        Shape (n,): normal medians.
    deviation, sign
        Shape (n,): how far each went, and which way.
    symptom
        Shape (n,): what the alert is about, to start from and not to be ranked.
    chosen
        Shape (m,): columns of the metrics to look at.
    stands_for
        Shape (n,): which of the m each of the n is a copy of (mostly itself), -1 for none.
    options
        As given.
    notes
        What a reader of the ranking must know.
    """

    data: Windows
    filled: Floats
    distances: Floats
    before: Floats
    deviation: Floats
    sign: Ints
    symptom: Mask
    chosen: Ints
    stands_for: Ints
    options: Options
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> Floats:
        """Values of the m metrics without gaps, shape (steps, m)."""
        return np.ascontiguousarray(self.filled[:, self.chosen])

    @property
    def span(self) -> slice:
        """Steps from the first normal to the last anomalous one, with what lies between."""
        inside = np.flatnonzero(self.data.normal | self.data.anomalous)
        return slice(int(inside[0]), int(inside[-1]) + 1)

    @property
    def nothing_happened(self) -> bool:
        """Whether no metric deviates enough to speak of a fault."""
        return float(self.deviation[~self.symptom].max()) < self.options.threshold

    @property
    def filled_distances(self) -> Floats:
        """Distances with gaps bridged as in ``filled``, shape (steps, n)."""
        return bridged(self.data.times, self.distances)

    def trouble(self, start: int = 0, relevance: Floats | None = None) -> Trouble:
        """Return what a head is told of the m metrics; without a relevance all have the same."""
        same = np.ones(self.chosen.size) if relevance is None else relevance
        return Trouble(start, same, self.deviation[self.chosen])

    def start(self, context: Context) -> tuple[int, str]:
        """Return which of the m metrics a walk starts at, and what a reader must know of it.

        That is the metric that alerted; if the case does not have it, the one that deviates most
        of the alert's component as its callers see it, else of all that callers see, else of all.
        """
        alert = (context.alert_component, context.alert_metric)
        alerting = np.array([key == alert for key in self.data.keys], dtype=bool)
        external = np.array([each.scope == "external" for each in self.data.metrics], dtype=bool)
        looked_at = self.stands_for >= 0
        for among in (alerting, self.symptom, external, looked_at):
            if (among & looked_at).any():
                break
        column = int(np.where(among & looked_at, self.deviation, -1.0).argmax())
        node = int(self.stands_for[column])
        if among is not looked_at:
            return node, ""
        return node, f"no metric is known to be seen by callers: started at {self.name(node)}"

    def name(self, node: int) -> str:
        """Return the name of one of the m metrics."""
        return "/".join(self.data.keys[self.chosen[node]])

    def no_fault(self) -> Ranking:
        """Return the answer "no fault found"."""
        return Ranking((), time_ns=self.data.start_ns)

    def ranking(self, score: Floats, degraded: str | None = None) -> Ranking:
        """Return the ranking by a score of each of the m metrics, shape (m,)."""
        evidence = evidence_of(
            self.data, self.distances, self.before, self.sign, self.options.threshold
        )
        of_all = np.where(self.stands_for >= 0, score[self.stands_for], 0.0)
        candidates = [
            (
                -float(self.deviation[at]),
                Candidate(component, float(of_all[at]), metric, evidence[at]),
            )
            for at, (component, metric) in enumerate(self.data.keys)
            if not self.symptom[at]
        ]
        return Ranking(
            tuple(each for _, each in sorted(candidates, key=_order)),
            time_ns=self.data.start_ns,
            degraded="; ".join(filter(None, [degraded, *self.notes])) or None,
        )


def gather(
    case: CaseView, context: Context, options: Options, *, symptoms: bool = False
) -> Suspects:
    """Find the metrics to look at, with ``symptoms`` also those that the alert is about.

    Raises
    ------
    MethodError
        If a window is too short, no metric has values in both, or fewer than two ever move.
    """
    limits = WindowOptions(options.guard_s, options.horizon_s)
    data = windows(case, context, limits, symptoms=symptoms)
    filled = bridged(data.times, data.values)
    order = canonical_order(filled)
    data, filled = data.take(order), np.ascontiguousarray(filled[:, order])
    distances, before, deviation, sign = _deviations(data, options)
    symptom = np.array([is_symptom(case, context, key) for key in data.keys], dtype=bool)
    priority = np.where(symptom, np.inf, deviation)
    steps = data.normal | data.anomalous
    limit = max(2, min(options.limit, int(steps.sum()) // _STEPS_A_METRIC))
    chosen, stands_for = _choose(filled, steps, priority, limit)
    if chosen.size < 2:
        raise MethodError(
            f"of {deviation.size} metrics {chosen.size} ever moved; a search for causes needs two "
            f"that are not copies of each other"
        )
    return Suspects(
        data,
        filled,
        distances,
        before,
        deviation,
        sign,
        symptom,
        chosen,
        stands_for,
        options,
        _notes(data, chosen, stands_for, limit < options.limit and chosen.size == limit),
    )


def _deviations(data: Windows, options: Options) -> tuple[Floats, Floats, Floats, Ints]:
    """Return distances (steps, n), normal medians (n,), deviations (n,) and their signs (n,).

    Medians and quartiles, since an alert comes late and leaves some of the fault in the normal
    window. A deviation is limited by its effect, as BARO's is: see ``_ordering``.
    """
    distances, before = data.distances(median_and_iqr)
    both_ways = np.zeros(len(data.keys), dtype=np.int64)
    significance, sign = _scores.deviation(distances[data.anomalous], options.quantile, both_ways)
    change, _ = _scores.deviation(data.values[data.anomalous] - before, options.quantile, both_ways)
    effect = _scores.effect(change, before, data.resolution(), options.level_share)
    return distances, before, np.minimum(significance, effect), sign


def bridged(times: Ints, values: Floats) -> Floats:
    """Return the values with gaps bridged by straight lines, and the ends by the nearest value.

    Parameters
    ----------
    times
        Shape (steps,), ns.
    values
        Shape (steps, metrics), each with at least one value.
    """
    filled = np.ascontiguousarray(values)
    seconds = (times - times[0]).astype(np.float64)
    for column in np.flatnonzero(np.isnan(values).any(axis=0)):
        known = np.isfinite(values[:, column])
        filled[:, column] = np.interp(seconds, seconds[known], values[known, column])
    return filled


def _choose(filled: Floats, steps: Mask, priority: Floats, most: int) -> tuple[Ints, Ints]:
    """Return the columns to look at, in order, and for each column which of them it is."""
    inside = filled[steps]
    moves = np.ptp(inside, axis=0) > 1e-12 * np.abs(inside).max(axis=0)
    original = (np.abs(correlation(inside)) >= _COPY).argmax(axis=1)
    loudest = np.zeros_like(priority)
    np.maximum.at(loudest, original, priority)
    originals = np.unique(original[moves])
    chosen = np.sort(originals[np.argsort(-loudest[originals], kind="stable")][:most])
    place = np.full(priority.size, -1, dtype=np.int64)
    place[chosen] = np.arange(chosen.size)
    return chosen, np.where(moves, place[original], -1)


def _notes(data: Windows, chosen: Ints, stands_for: Ints, few_steps: bool) -> tuple[str, ...]:
    sparse = int((np.isfinite(data.values).mean(axis=0) < _KNOWN).sum())
    names = ["/".join(key) for key in data.keys]
    copies = sorted(
        f"{names[each]} as {names[chosen[place]]}"
        for each, place in enumerate(stands_for)
        if place >= 0 and chosen[place] != each
    )
    told = (
        (few_steps, f"the windows' steps are enough to look at {chosen.size} metrics only"),
        (sparse, f"{sparse} metrics are unknown for more than half of the time and were bridged"),
        (copies, f"metrics that move exactly as another share its score: {', '.join(copies)}"),
    )
    return tuple(note for true, note in told if true)


def _order(ranked: tuple[float, Candidate]) -> tuple[float, float, str, str]:
    """Highest score first; of equals the one that deviated most; names settle what is left."""
    deviation, candidate = ranked
    return -candidate.score, deviation, candidate.component, candidate.metric or ""
