# SPDX-License-Identifier: Apache-2.0
"""The graph of Granger's test, read by PageRank from effects to causes.

Departures: the lag is chosen by BIC for each pair, and ``alpha`` is the false discovery rate over
all pairs (Benjamini and Hochberg 1995); jumps go to metrics in proportion to their deviation
(``jump``), and a walk stays at a metric that has effects and no strong cause (``stay``); selection
as in ``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import granger
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import Jump, PageRank
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "granger_pagerank",
    sources={"metrics"},
    paper="Granger, Econometrica 37, 1969; Page et al., PageRank, 1999",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = 0.05,
    lag: int | None = None,
    max_lag: int = 5,
    damping: float = PageRank.damping,
    jump: Jump = PageRank.jump,
    stay: bool = PageRank.stay,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the graph of Granger's test."""
    discover = functools.partial(granger.discover, alpha=alpha, lag=lag, max_lag=max_lag)
    head = PageRank(damping, jump, stay)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
