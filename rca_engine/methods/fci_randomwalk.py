# SPDX-License-Identifier: Apache-2.0
"""FCI's graph, walked from the alert towards its causes.

Departures: FCI conditions on at most ``max_order`` metrics; ``A o-> B`` is a link from cause to
effect, ``A o-o B`` one both ways, and ``A <-> B`` none, for neither causes the other; the walk is
solved and not simulated, which takes a share of returns to the start (``restart``); selection as in
``_suspects``.
"""

from __future__ import annotations

import functools

from rca_engine.case import CaseView
from rca_engine.discovery import fci
from rca_engine.discovery.causal_learn import Backend
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import RandomWalk
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking


@method(
    "fci_randomwalk",
    sources={"metrics"},
    paper=(
        "Spirtes et al., Causation, Prediction, and Search, 2000; Zhang, AIJ 172, 2008; Kim "
        "et al., MonitorRank, 2013; Meng et al., MicroCause, 2020"
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
    """Rank metrics by a random walk from the alert over the graph of FCI."""
    discover = functools.partial(fci.discover, alpha=alpha, max_order=max_order, backend=backend)
    head = RandomWalk(backward, restart)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, head, options)
