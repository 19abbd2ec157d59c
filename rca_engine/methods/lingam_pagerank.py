# SPDX-License-Identifier: Apache-2.0
"""LiNGAM's graph, read by PageRank from effects to causes.

Departures: the metrics are standardised, and links are kept by a t test at the false discovery rate
``alpha``; jumps go to metrics in proportion to their deviation (``jump``), and a walk stays at a
metric that has effects and no strong cause (``stay``); selection as in ``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import lingam
from rca_engine.discovery.causal_learn import Backend
from rca_engine.discovery.lingam import Algorithm
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import Jump, PageRank
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "lingam_pagerank",
    sources={"metrics"},
    paper="Shimizu et al., JMLR 7, 2006; Page et al., PageRank, 1999",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    algorithm: Algorithm = "ica",
    alpha: float = 0.05,
    backend: Backend = "own",
    damping: float = PageRank.damping,
    jump: Jump = PageRank.jump,
    stay: bool = PageRank.stay,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the graph of LiNGAM."""
    discover = functools.partial(
        lingam.discover, algorithm=algorithm, alpha=alpha, backend=backend, seed=context.seed
    )
    head = PageRank(damping, jump, stay)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
