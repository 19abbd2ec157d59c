# SPDX-License-Identifier: Apache-2.0
"""Any discovered graph, searched from the alert for causes that have none: Microscope's last step.

Departures: the paper builds its graph from the network connections that it captured, and by PC
within a service; here the graph is over metrics alone. Selection as in ``_suspects``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Literal

from rca_engine.case import CaseView
from rca_engine.discovery import fci, ges, granger, lingam, pc
from rca_engine.discovery.graph import CausalGraph
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._graph_ranking import rank_by_graph
from rca_engine.methods._heads import DepthFirst
from rca_engine.methods._suspects import Options
from rca_engine.ranking import Context, Ranking

Discovery = Literal["pc", "fci", "granger", "lingam", "ges"]

_DISCOVERIES: Mapping[Discovery, Callable[..., CausalGraph]] = {
    "pc": pc.discover,
    "fci": fci.discover,
    "granger": granger.discover,
    "lingam": lingam.discover,
    "ges": ges.discover,
}


@method(
    "graph_search",
    sources={"metrics"},
    paper="Lin, Chen, Zheng, Microscope, ICSOC 2018",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    discovery: Discovery = "pc",
    limit: int = Options.limit,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by a search for roots from the alert over a discovered graph."""
    if discovery not in _DISCOVERIES:
        raise MethodError(f"discovery is one of {', '.join(_DISCOVERIES)}, not {discovery!r}")
    discover = functools.partial(_DISCOVERIES[discovery])
    options = Options(limit=limit, guard_s=guard_s, horizon_s=horizon_s, threshold=threshold)
    return rank_by_graph(case, context, discover, DepthFirst(), options)
