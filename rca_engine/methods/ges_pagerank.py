# SPDX-License-Identifier: Apache-2.0
"""GES's graph, read by PageRank from effects to causes.

Departures: jumps go to metrics in proportion to their deviation (``jump``), and a walk stays at a
metric that has effects and no strong cause (``stay``); selection as in ``_graph_ranking``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import ges
from rca_engine.discovery.causal_learn import Backend
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import GraphOptions, rank_by_graph
from rca_engine.methods._heads import Jump, PageRank
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
    limit: int = GraphOptions.limit,
    guard_s: float = GraphOptions.guard_s,
    horizon_s: float | None = GraphOptions.horizon_s,
    threshold: float = GraphOptions.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the graph of GES."""
    discover = functools.partial(ges.discover, penalty=penalty, backend=backend)
    head = PageRank(damping, jump, stay)
    options = GraphOptions(limit, guard_s, horizon_s, threshold)
    return rank_by_graph(case, context, discover, head, options)
