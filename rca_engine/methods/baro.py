# SPDX-License-Identifier: Apache-2.0
"""BARO's RobustScorer: distance from the normal median in interquartile ranges.

A late alert puts some of the fault into the normal window; median and quartiles hardly move by it,
which is why BARO keeps its accuracy there and N-Sigma does not.

Departures from the paper, all options: two-sided; the median of the anomalous window and not its
maximum (``quantile`` 1.0); metrics that were constant before are kept (``_scores.standardise``).
Without a time, the incident is the interval in which the metrics differ most from the rest
(``_scores.strongest_interval``), where the paper detects change points.
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.methods import method
from rca_engine.methods._ordering import Options, rank_by_deviation
from rca_engine.methods._scores import median_and_iqr
from rca_engine.ranking import Context, Ranking


@method(
    "baro",
    sources={"metrics"},
    paper="Pham, Ha, Zhang, BARO: Robust Root Cause Analysis for Microservices, FSE 2024",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    quantile: float = Options.quantile,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    directed: bool = Options.directed,
    threshold: float = Options.threshold,
    level_share: float = Options.level_share,
) -> Ranking:
    """Rank metrics by their distance from the normal median in interquartile ranges."""
    options = Options(quantile, guard_s, horizon_s, directed, threshold, level_share)
    return rank_by_deviation(case, context, median_and_iqr, options)
