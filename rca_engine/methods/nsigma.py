# SPDX-License-Identifier: Apache-2.0
"""N-Sigma: distance from the normal mean in standard deviations.

Departures from the paper's baseline, all options: two-sided; the median of the anomalous window
and not its maximum; metrics that were constant before are kept (``_scores.standardise``).
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.methods import method
from rca_engine.methods._ordering import Options, rank_by_deviation
from rca_engine.methods._scores import mean_and_deviation
from rca_engine.ranking import Context, Ranking


@method(
    "nsigma",
    sources={"metrics"},
    paper="Li et al., Causal Inference-Based Root Cause Analysis, KDD 2022 (baseline, section 4.1)",
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
    """Rank metrics by their distance from the normal mean in standard deviations."""
    options = Options(quantile, guard_s, horizon_s, directed, threshold, level_share)
    return rank_by_deviation(case, context, mean_and_deviation, options)
