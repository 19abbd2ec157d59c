# SPDX-License-Identifier: Apache-2.0
"""LiNGAM's graph, walked from the alert towards its causes.

Departures: the metrics are standardised, and links are kept by a t test at the false discovery rate
``alpha``; the walk is solved and not simulated, which takes a share of returns to the start
(``restart``); selection as in ``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import lingam
from rca_engine.discovery.causal_learn import Backend
from rca_engine.discovery.lingam import Algorithm
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import RandomWalk
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "lingam_randomwalk",
    sources={"metrics"},
    paper=(
        "Shimizu et al., JMLR 7, 2006; Kim et al., MonitorRank, 2013; Meng et al., MicroCause, 2020"
    ),
)
def rank(
    case: CaseView,
    context: Context,
    *,
    algorithm: Algorithm = "ica",
    alpha: float = 0.05,
    backend: Backend = "own",
    backward: float = RandomWalk.backward,
    restart: float = RandomWalk.restart,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by a random walk from the alert over the graph of LiNGAM."""
    discover = functools.partial(
        lingam.discover, algorithm=algorithm, alpha=alpha, backend=backend, seed=context.seed
    )
    head = RandomWalk(backward, restart)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
