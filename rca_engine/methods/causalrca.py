# SPDX-License-Identifier: Apache-2.0
"""CausalRCA: a weighted graph by DAG-GNN, read by PageRank on its weights.

Source: Xin, Chen, Zhao, CausalRCA: Causal Inference Based Precise Fine-Grained Root Cause
Localization for Microservice Applications, Journal of Systems and Software 203, 2023 (section 4.2
structure learning, 4.3 PageRank on the weighted graph).

Departures:

- Metrics are standardised, where the authors' code divides by the largest value; for the model and
  its training see ``discovery.dag_gnn``.
- A link counts as much as it carries in this incident (``contribution``): its weight times how far
  its cause deviates. The weights alone say what drives what in general, also of metrics that are
  as ever. With the largest value as the unit, the metric that the fault moves most had the largest
  weights by itself.
- A walk stays at a metric that has effects and no cause (``stay``, as in the other PageRank
  methods). Of a negative weight the size counts.
"""

from __future__ import annotations

from dataclasses import replace

from rca_engine.case import CaseView
from rca_engine.discovery import dag_gnn
from rca_engine.methods import _neural, method
from rca_engine.methods._heads import Jump, PageRank
from rca_engine.methods._suspects import Options, gather
from rca_engine.ranking import Context, Ranking


@method(
    "causalrca",
    sources={"metrics"},
    paper="Xin, Chen, Zhao, CausalRCA, Journal of Systems and Software 203, 2023",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    hidden: int = 8,
    sparsity: float = 0.03,
    epochs: int = 150,
    contribution: bool = True,
    damping: float = PageRank.damping,
    jump: Jump = PageRank.jump,
    stay: bool = PageRank.stay,
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by PageRank on the weighted graph of DAG-GNN."""
    until = _neural.deadline(context)
    head = PageRank(damping, jump, stay)
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    suspects = gather(case, context, options)
    if suspects.nothing_happened:
        return suspects.no_fault()
    graph, finished = dag_gnn.discover(
        suspects.values,
        rng=context.rng(),
        hidden=hidden,
        sparsity=sparsity,
        epochs=epochs,
        deadline=until,
    )
    if contribution and graph.weights is not None:
        carried = graph.weights * suspects.deviation[suspects.chosen][:, None]
        graph = replace(graph, weights=carried)
    score = head.scores(graph, suspects.trouble())
    return suspects.ranking(score, _neural.notes(context, graph, finished))
