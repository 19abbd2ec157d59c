# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of accuracy, by example and by property."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rca_engine.evaluation.scores import (
    DEPTH,
    NOTHING,
    bootstrap,
    chance,
    constant_guess,
    from_json,
    hits,
    ties,
    to_json,
)


@st.composite
def rankings(draw):
    """A ranking in groups of ties, and a truth that may miss it."""
    items = list(range(draw(st.integers(1, 12))))
    groups, rest = [], items
    while rest:
        size = draw(st.integers(1, len(rest)))
        groups.append(frozenset(rest[:size]))
        rest = rest[size:]
    truth = draw(st.sets(st.integers(0, 15), min_size=1, max_size=4))
    return groups, truth


@given(rankings())
def test_more_places_never_hurt_and_averages_lie_between(ranking):
    groups, truth = ranking
    found = hits(groups, truth)
    assert all(a <= b + 1e-12 for a, b in zip(found.at, found.at[1:], strict=False))
    assert found.at[0] - 1e-12 <= found.average <= found.at[-1] + 1e-12
    assert 0 <= found.at[0] <= found.reciprocal + 1e-12 <= 1 + 2e-12


@given(rankings())
@settings(max_examples=40, deadline=None)
def test_ties_are_worth_the_mean_over_all_their_orders(ranking):
    groups, truth = ranking
    rng = np.random.default_rng(0)
    orders = [
        [item for group in groups for item in rng.permutation(sorted(group)).tolist()]
        for _ in range(400)
    ]
    firsts = np.array(
        [next((at for at, x in enumerate(order, 1) if x in truth), np.inf) for order in orders]
    )
    found = hits(groups, truth)
    for k in range(1, DEPTH + 1):
        assert found.at[k - 1] == pytest.approx(float((firsts <= k).mean()), abs=0.13)
    assert found.reciprocal == pytest.approx(float((1 / firsts).mean()), abs=0.1)


@given(st.integers(1, 30), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_chance_is_the_mean_of_random_orders(candidates, right):
    right = min(right, candidates)
    rng = np.random.default_rng(1)
    firsts = np.array(
        [np.flatnonzero(rng.permutation(candidates) < right)[0] + 1 for _ in range(500)]
    )
    level = chance(right, candidates)
    for k in range(1, DEPTH + 1):
        assert level.at[k - 1] == pytest.approx(float((firsts <= k).mean()), abs=0.11)


def test_chance_for_one_cause_is_k_of_n():
    assert chance(1, 10).at == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))
    assert chance(1, 2).at == pytest.approx((0.5, 1, 1, 1, 1))
    assert chance(1, 4).reciprocal == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=40),
    st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_the_interval_holds_the_estimate_and_stays_in_range(rows, seed):
    values = np.array(rows)
    low, high = bootstrap(values, np.random.default_rng(seed), resamples=200)
    mean = values.mean(axis=0)
    assert np.all(low <= mean)
    assert np.all(mean <= high)
    assert np.all(low >= values.min(axis=0) - 1e-9)
    assert np.all(high <= values.max(axis=0) + 1e-9)


def test_the_interval_narrows_with_cases_and_repeats_for_a_seed():
    few, many = np.tile([[0.0], [1.0]], (10, 1)), np.tile([[0.0], [1.0]], (200, 1))
    widths = [
        float((high - low)[0])
        for low, high in (bootstrap(each, np.random.default_rng(0)) for each in (few, many))
    ]
    assert widths[1] < widths[0] / 3
    one, two = (bootstrap(few, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, two)


def test_the_interval_agrees_with_the_normal_one_where_that_holds():
    values = np.random.default_rng(2).random((400, 1))
    low, high = bootstrap(values, np.random.default_rng(0))
    half = 1.96 * values.std() / np.sqrt(400)
    assert low[0] == pytest.approx(values.mean() - half, abs=0.004)
    assert high[0] == pytest.approx(values.mean() + half, abs=0.004)


def test_an_unranked_cause_counts_nothing():
    assert hits([frozenset("ab")], {"c"}) == NOTHING
    assert hits([], {"c"}) == NOTHING
    assert hits([frozenset("c")], {"c"}).at == (1.0,) * DEPTH


def test_hits_without_a_truth_are_an_error():
    with pytest.raises(ValueError, match="true cause"):
        hits([frozenset("a")], set())


def test_only_neighbours_of_one_score_are_tied():
    assert ties(list("abcd"), [3.0, 3.0, 1.0, 3.0]) == [
        frozenset("ab"),
        frozenset("c"),
        frozenset("d"),
    ]


def test_three_targets_in_turn_make_the_constant_guess_look_good():
    targets = [{f"replica-{at % 3}"} for at in range(30)]
    everything = {"head", "proxy", "operator", *(f"replica-{at}" for at in range(3))}
    guess = constant_guess(targets, targets[0], everything)
    assert guess.at == pytest.approx((1 / 3, 2 / 3, 1, 1, 1))
    assert guess.average == pytest.approx(0.8)


def test_a_cause_never_seen_elsewhere_is_left_to_chance_after_those_seen():
    guess = constant_guess([{"a"}, {"a"}, {"b"}], {"c"}, {"a", "b", "c", "d"})
    assert guess.at == pytest.approx((0, 0, 0.5, 1, 1))


def test_hits_survive_their_file():
    found = hits([frozenset("ab"), frozenset("c")], {"b"})
    assert from_json(to_json(found)) == found
    assert from_json(to_json(None)) is None
