# SPDX-License-Identifier: Apache-2.0
"""PC's graph, walked from the alert towards its causes.

Departures: PC is order-independent (Colombo and Maathuis, JMLR 2014) and conditions on at most
``max_order`` metrics; the walk is solved and not simulated, which takes a share of returns to the
start (``restart``); selection as in ``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import pc
from rca_engine.discovery.causal_learn import Backend
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import RandomWalk
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "pc_randomwalk",
    sources={"metrics"},
    paper=(
        "Spirtes, Glymour, Scheines, Causation, Prediction, and Search, 2000; Kim et al., "
        "MonitorRank, 2013; Meng et al., MicroCause, 2020"
    ),
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = 0.05,
    max_order: int = 3,
    backend: Backend = "own",
    backward: float = RandomWalk.backward,
    restart: float = RandomWalk.restart,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by a random walk from the alert over the graph of PC."""
    discover = functools.partial(pc.discover, alpha=alpha, max_order=max_order, backend=backend)
    head = RandomWalk(backward, restart)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
