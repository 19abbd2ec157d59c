# SPDX-License-Identifier: Apache-2.0
"""FCI's graph, read by PageRank from effects to causes.

Departures: FCI conditions on at most ``max_order`` metrics; ``A o-> B`` is a link from cause to
effect, ``A o-o B`` one both ways, and ``A <-> B`` none, for neither causes the other; jumps go to
metrics in proportion to their deviation (``jump``), and a walk stays at a metric that has effects
and no strong cause (``stay``); selection as in ``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import fci
from rca_engine.discovery.causal_learn import Backend
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import Jump, PageRank
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "fci_pagerank",
    sources={"metrics"},
    paper=(
        "Spirtes et al., Causation, Prediction, and Search, 2000; Zhang, AIJ 172, 2008; Page "
        "et al., PageRank, 1999"
    ),
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = 0.05,
    max_order: int = 3,
    backend: Backend = "own",
    damping: float = PageRank.damping,
    jump: Jump = PageRank.jump,
    stay: bool = PageRank.stay,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the graph of FCI."""
    discover = functools.partial(fci.discover, alpha=alpha, max_order=max_order, backend=backend)
    head = PageRank(damping, jump, stay)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
