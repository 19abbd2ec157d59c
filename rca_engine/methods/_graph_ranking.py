# SPDX-License-Identifier: Apache-2.0
"""Rank by a causal graph over the metrics: any discovery, read by any head.

Selection, order and start are those of ``_suspects``. Discovery sees all steps: what lies between
and behind the windows obeys the same mechanisms. Metrics of score 0, in the graph or not, follow in
the order of their deviations; if that is all there is, the ranking says so.
"""

from __future__ import annotations

import functools

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery._memo import discover_once
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import correlation
from rca_engine.methods._heads import Head
from rca_engine.methods._scores import Floats
from rca_engine.methods._suspects import Options, gather
from rca_engine.ranking import Context, Ranking


def rank_by_graph(
    case: CaseView,
    context: Context,
    discover: functools.partial[CausalGraph],
    head: Head,
    options: Options,
) -> Ranking:
    """Discover a graph over the metrics and rank them by it.

    Parameters
    ----------
    case, context
        As for every method.
    discover
        ``discover`` of a module of :mod:`rca_engine.discovery`, its options bound by name.
    head
        How to read the graph.
    options
        Which metrics are in it.

    Raises
    ------
    MethodError
        If either window is too short, no metric has values in both, or the discovery refuses.
    """
    suspects = gather(case, context, options, symptoms=True)
    if suspects.nothing_happened:
        return suspects.no_fault()
    start, start_note = suspects.start(context)
    graph = discover_once(discover, suspects.values)
    relevance = np.abs(correlation(suspects.values)[start])
    found = head.scores(graph, suspects.trouble(start, relevance))
    notes = (
        start_note if head.from_alert else "",
        _nothing_found(graph, found, suspects.name(start)),
    )
    return suspects.ranking(found, "; ".join(filter(None, notes)) or None)


def _nothing_found(graph: CausalGraph, found: Floats, start: str) -> str:
    if not graph.causes().any():
        return "the discovered graph has no usable link: ranked by deviation"
    if not found.any():
        return f"no link of the discovered graph leads from {start}: ranked by deviation"
    return ""
