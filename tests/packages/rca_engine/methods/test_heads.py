# SPDX-License-Identifier: Apache-2.0
"""The heads on graphs drawn by hand: A -> C <- B, C -> D, and a metric of its own."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine.discovery.graph import CausalGraph, Mark
from rca_engine.errors import MethodError
from rca_engine.methods._heads import DepthFirst, PageRank, RandomWalk, Trouble

A, B, C, D, ALONE = range(5)
TROUBLE = Trouble(
    start=D,
    relevance=np.array([0.6, 0.5, 0.8, 1.0, 0.1]),
    deviation=np.array([9.0, 3.0, 9.0, 9.0, 0.5]),
)
EVERY = pytest.mark.parametrize("head", [PageRank(), RandomWalk(), DepthFirst()])


def graph(*links, weights=None):
    causes = np.zeros((5, 5), dtype=bool)
    for cause, effect in links:
        causes[cause, effect] = True
    return CausalGraph.directed(causes, weights)


COLLIDER = graph((A, C), (B, C), (C, D))


@EVERY
def test_the_causes_outrank_what_lies_between_them_and_the_alert(head):
    scores = head.scores(COLLIDER, TROUBLE)
    assert scores[A] > scores[B] > scores[C] > 0
    assert scores[ALONE] < scores[C]


@EVERY
def test_half_open_links_of_a_pag_lead_to_the_cause(head):
    marks = COLLIDER.marks.copy()
    marks[C, A] = marks[C, B] = Mark.CIRCLE
    scores = head.scores(CausalGraph(marks), TROUBLE)
    assert scores == pytest.approx(head.scores(COLLIDER, TROUBLE))


@EVERY
def test_a_hidden_common_cause_is_no_way_to_go(head):
    marks = COLLIDER.marks.copy()
    marks[A, C] = marks[C, A] = Mark.ARROW
    scores = head.scores(CausalGraph(marks), TROUBLE)
    assert scores[B] > scores[A]


@EVERY
def test_another_graph_gives_another_ranking(head):
    reverse = graph((C, A), (C, B), (D, C))
    other = graph((B, A), (A, D))
    rankings = {tuple(np.argsort(-head.scores(each, TROUBLE))) for each in (COLLIDER, other)}
    assert len(rankings) == 2
    assert not np.allclose(head.scores(reverse, TROUBLE), head.scores(COLLIDER, TROUBLE))


@EVERY
def test_a_graph_without_links_says_nothing(head):
    assert not head.scores(graph(), TROUBLE).any()


@pytest.mark.parametrize("head", [RandomWalk(), DepthFirst()])
def test_without_a_way_from_the_alert_there_is_nothing(head):
    assert not head.scores(graph((A, C), (B, C)), TROUBLE).any()


@EVERY
def test_the_order_of_metrics_changes_nothing(head):
    order = np.array([3, 0, 4, 2, 1])
    moved = Trouble(
        int(np.flatnonzero(order == D)[0]), TROUBLE.relevance[order], TROUBLE.deviation[order]
    )
    shuffled = CausalGraph(COLLIDER.marks[np.ix_(order, order)])
    expected = head.scores(COLLIDER, TROUBLE)[order]
    assert head.scores(shuffled, moved) == pytest.approx(expected)


@EVERY
def test_a_cycle_ends(head):
    scores = head.scores(graph((A, C), (C, A), (C, D)), TROUBLE)
    assert np.isfinite(scores).all()
    assert scores[C] > scores[B]


def test_plain_pagerank_is_that_of_networkx():
    networkx = pytest.importorskip("networkx")
    weights = np.random.default_rng(0).random((5, 5))
    links = networkx.DiGraph()
    links.add_nodes_from(range(5))
    links.add_weighted_edges_from(
        (effect, cause, weights[cause, effect]) for cause, effect in np.argwhere(COLLIDER.causes())
    )
    expected = networkx.pagerank(links, tol=1e-12)
    found = PageRank(jump="uniform", stay=False).scores(
        CausalGraph(COLLIDER.marks, weights), TROUBLE
    )
    assert found == pytest.approx([expected[node] for node in range(5)], abs=1e-9)


def test_the_walk_is_what_a_long_simulation_shows():
    head, rng = RandomWalk(backward=0.3, restart=0.1), np.random.default_rng(0)
    relevance, causes = TROUBLE.relevance, COLLIDER.causes()
    visits, here = np.zeros(5), D
    for _ in range(60_000):
        visits[here] += 1
        weights = causes[:, here] * relevance + 0.3 * causes[here] * relevance
        best = (causes[:, here] * relevance).max()
        weights[here] = 0.0 if here == D else max(relevance[here] - best, 0.0)
        back = rng.random() < 0.1
        here = D if back else int(rng.choice(5, p=weights / weights.sum()))
    assert head.scores(COLLIDER, TROUBLE) == pytest.approx(visits / visits.sum(), abs=0.01)


def test_the_search_puts_roots_before_what_lies_on_the_way_however_relevant():
    scores = DepthFirst().scores(COLLIDER, TROUBLE)
    assert scores[A] == pytest.approx(1.6)
    assert scores[B] == pytest.approx(1.5)
    assert scores[C] == pytest.approx(0.8)
    assert scores[D] == scores[ALONE] == 0


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: PageRank(damping=1.0), "damping"),
        (lambda: PageRank(jump="far"), "jump"),
        (lambda: RandomWalk(backward=-1), "backward"),
        (lambda: RandomWalk(restart=0.0), "restart"),
    ],
)
def test_an_option_out_of_range_is_refused(make, option):
    with pytest.raises(MethodError, match=option):
        make()
