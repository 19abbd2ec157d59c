# SPDX-License-Identifier: Apache-2.0
"""Rank by deviation alone: what N-Sigma and BARO share, apart from their centre and scale.

Statistic
    The papers score a metric by the largest deviation of the anomalous window. Over rates taken
    from one-second samples the largest of thirty noisy values is large for healthy replicas too,
    whereas a lasting fault moves the median: so the default is the ``quantile`` 0.5, and 1.0 is
    the papers' maximum.
Strength and significance
    A deviation in units of the normal scale says how sure a change is, not how large: a cache that
    hardly varies and drifts by half a percent outscores a CPU that went from idle to saturated.
    Between components the strength counts, which is the deviation, but no more than the change in
    units of ``level_share`` of the level before. Within one component whatever moved all of it
    moved each of its metrics, and the deviation says best which of them is at fault: so a
    component's strengths go to its metrics in order of their deviations. Where the metrics'
    resolutions are known they are the floors of the scales, and the two are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _scores
from rca_engine.methods._evidence import evidence_of
from rca_engine.methods._scores import CentreScale, Floats, Ints
from rca_engine.methods._windows import WindowOptions, Windows, windows
from rca_engine.ranking import Candidate, Context, Ranking

_ALLOWED = {"up": 1, "down": -1, "both": 0}


@dataclass(frozen=True)
class Options:
    """How to rank by deviation.

    Parameters
    ----------
    quantile
        Of the anomalous window's distances, from 0.5 to 1: see the module's note on the statistic.
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`.
    directed
        Whether a metric counts only if it went the way that the vocabulary calls bad.
    threshold
        Without a score of at least this there is no fault: the ranking is empty.
    level_share
        Least change that means anything, as a share of the level before, of a metric of unknown
        resolution; 0 for none, as in the papers.
    """

    quantile: float = 0.5
    guard_s: float = WindowOptions.guard_s
    horizon_s: float | None = WindowOptions.horizon_s
    directed: bool = False
    threshold: float = 3.0
    level_share: float = 0.01

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile <= 1.0:
            raise MethodError(f"quantile must be from 0.5 to 1, got {self.quantile}")
        if not 0.0 <= self.level_share < 1.0:
            raise MethodError(f"level_share must be at least 0 and below 1, got {self.level_share}")


def rank_by_deviation(
    case: CaseView, context: Context, centre_scale: CentreScale, options: Options
) -> Ranking:
    """Rank every metric by how far it left its normal range.

    Raises
    ------
    MethodError
        If either window is too short, or no metric has values in both.
    """
    data = windows(case, context, WindowOptions(options.guard_s, options.horizon_s))
    distances, before = data.distances(centre_scale)
    score, sign = _strengths(data, distances, before, options)
    if score.max() < options.threshold:
        return Ranking((), time_ns=data.start_ns)
    evidence = evidence_of(data, distances, before, sign, options.threshold)
    candidates = [
        Candidate(component, float(score[index]), metric, evidence[index])
        for index, (component, metric) in enumerate(data.keys)
    ]
    return Ranking(tuple(sorted(candidates, key=_order)), time_ns=data.start_ns)


def _strengths(
    data: Windows, distances: Floats, before: Floats, options: Options
) -> tuple[Floats, Ints]:
    """Return the score and the sign of each metric: see the module's note on strength."""
    allowed = np.array(
        [_ALLOWED[each.direction] if options.directed else 0 for each in data.metrics],
        dtype=np.int64,
    )
    significance, sign = _scores.deviation(distances[data.anomalous], options.quantile, allowed)
    change, _ = _scores.deviation(data.values[data.anomalous] - before, options.quantile, allowed)
    effect = _scores.effect(change, before, data.resolution(), options.level_share)
    _, components = np.unique([component for component, _ in data.keys], return_inverse=True)
    strength = np.minimum(significance, effect)
    return _scores.share_out(strength, significance, components), sign


def _order(candidate: Candidate) -> tuple[float, float, str, str]:
    """Strongest first; of equals the one that deviated first; names only settle what is left."""
    evidence = candidate.evidence
    seen = evidence.first_deviation_ns if evidence is not None else None
    return (
        -candidate.score,
        np.inf if seen is None else float(seen),
        candidate.component,
        candidate.metric or "",
    )
