# SPDX-License-Identifier: Apache-2.0
"""Neural Granger causality (cMLP), read by PageRank from effects to causes.

Known in the benchmarks as NTLR-PageRank. Departures: see ``discovery.cmlp``; a walk stays at a
metric that has effects and no cause (``stay``, as in the other PageRank methods); the seed decides
the networks' start and nothing else.
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.discovery import cmlp
from rca_engine.methods import _neural, method
from rca_engine.methods._heads import Jump, PageRank
from rca_engine.methods._suspects import Options, gather
from rca_engine.ranking import Context, Ranking


@method(
    "cmlp_pagerank",
    sources={"metrics"},
    paper="Tank et al., Neural Granger Causality, IEEE TPAMI, 2021; Page et al., PageRank, 1999",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    lags: int = 3,
    hidden: int = 5,
    sparsity: float = 0.3,
    epochs: int = 400,
    damping: float = PageRank.damping,
    jump: Jump = PageRank.jump,
    stay: bool = PageRank.stay,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the graph of neural Granger causality."""
    until = _neural.deadline(context)
    head = PageRank(damping, jump, stay)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    suspects = gather(case, context, options)
    if suspects.nothing_happened:
        return suspects.no_fault()
    graph, finished = cmlp.discover(
        suspects.values,
        rng=context.rng(),
        lags=lags,
        hidden=hidden,
        sparsity=sparsity,
        epochs=epochs,
        deadline=until,
    )
    score = head.scores(graph, suspects.trouble())
    return suspects.ranking(score, _neural.notes(context, graph, finished))
