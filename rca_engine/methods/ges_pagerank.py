# SPDX-License-Identifier: Apache-2.0
"""GES's graph, read by PageRank from effects to causes.

Departures: jumps go to metrics in proportion to their deviation (``jump``), and a walk stays at a
metric that has effects and no strong cause (``stay``); selection as in ``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import ges
from rca_engine.discovery.causal_learn import Backend
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import Jump, PageRank
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "ges_pagerank",
    sources={"metrics"},
    paper="Chickering, JMLR 3, 2002; Ramsey et al., IJDSA 3, 2017; Page et al., PageRank, 1999",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    penalty: float = 1.0,
    backend: Backend = "own",
    damping: float = PageRank.damping,
    jump: Jump = PageRank.jump,
    stay: bool = PageRank.stay,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the graph of GES."""
    discover = functools.partial(ges.discover, penalty=penalty, backend=backend)
    head = PageRank(damping, jump, stay)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
