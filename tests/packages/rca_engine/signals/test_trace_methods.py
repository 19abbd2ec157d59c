# SPDX-License-Identifier: Apache-2.0
"""MicroRank and TraceRCA on traces whose culprit is known."""

from __future__ import annotations

import pandas as pd
import pytest

from rca_engine import methods
from rca_engine.errors import MethodError
from rca_engine.model import NS
from rca_engine.ranking import Context

both = pytest.mark.parametrize("name", ["microrank", "tracerca"])


def order(ranking):
    return [each.component for each in ranking.components()]


@pytest.mark.parametrize("culprit", ["cart", "catalogue"])
def test_the_slow_service_is_first(culprit, shop, told):
    ranking = methods.get("tracerca").rank(shop(slow={culprit: 8.0}).view("traces"), told)
    assert order(ranking)[0] == f"service/{culprit}"


@both
@pytest.mark.parametrize("culprit", ["cart", "catalogue"])
def test_the_slow_service_is_near_the_top_with_its_slow_operation_as_evidence(
    name, culprit, shop, told
):
    """A spectrum alone can't tell an operation from one that is nearly always called with it."""
    ranking = methods.get(name).rank(shop(slow={culprit: 8.0}).view("traces"), told)
    place = order(ranking).index(f"service/{culprit}")
    assert place < 2
    evidence = ranking.components()[place].signals[0]
    assert evidence.after_ms > 2 * evidence.before_ms


def test_a_callee_that_fails_is_more_suspect_than_its_callers(shop, told):
    view = shop(failing={"cart": 0.8}).view("traces")
    assert order(methods.get("tracerca").rank(view, told))[0] == "service/cart"


def test_microrank_counts_failed_traces_unless_told_not_to(shop, told):
    view = shop(failing={"cart": 0.8}).view("traces")
    rank = methods.get("microrank").rank
    assert "service/cart" in order(rank(view, told))[:2]
    strict = rank(view, told, failures=False, sigmas=6.0)
    assert strict.candidates == ()


@both
def test_without_an_abnormal_trace_there_is_no_fault(name, shop, told):
    calm = shop()
    options = {"sigmas": 10.0}
    assert methods.get(name).rank(calm.view("traces"), told, **options).candidates == ()


@both
def test_an_operation_that_is_new_after_the_fault_neither_crashes_nor_hides_the_culprit(
    name, shop, told
):
    changed = shop(slow={"cart": 8.0}, calls={"cart/add": ("audit/write",)})
    components = order(methods.get(name).rank(changed.view("traces"), told))
    assert components.index("service/cart") < 2


@both
def test_spans_without_parents_or_that_are_their_own_parents_do_no_harm(name, shop, told):
    view = shop(slow={"cart": 8.0})
    traces = view.table("traces")
    traces.loc[::17, "parent_span_id"] = "ffffffffffffffff"
    traces.loc[5, "parent_span_id"] = traces.loc[5, "span_id"]
    ranking = methods.get(name).rank(view.view(traces=traces), told)
    assert "service/cart" in order(ranking)[:2]


@both
def test_rows_in_another_order_and_exported_twice_change_nothing(name, shop, told):
    made = shop(slow={"cart": 8.0})
    traces = made.table("traces")
    plain = methods.get(name).rank(made.view(traces=traces), told)
    shuffled = traces.sample(frac=1.0, random_state=3)
    twice = pd.concat([shuffled, shuffled.iloc[:50]])
    assert methods.get(name).rank(made.view(traces=twice), told) == plain


@both
def test_other_names_give_the_same_ranking(name, shop, told):
    made = shop(slow={"cart": 8.0})
    traces = made.table("traces")
    new = {
        "service/front": "b/_x",
        "service/cart": "z",
        "service/catalogue": "a",
        "service/db": "y",
    }
    renamed = traces.assign(component=traces["component"].map(new))
    plain = methods.get(name).rank(made.view(traces=traces), told).components()
    other = methods.get(name).rank(made.view(traces=renamed), told).components()
    scores = {new[each.component]: each.score for each in plain}
    assert {each.component: each.score for each in other} == pytest.approx(scores)


@both
def test_what_is_missing_is_said(name, shop, told):
    rank = methods.get(name).rank
    with pytest.raises(MethodError, match="the case has no traces"):
        rank(shop().view("logs"), told)
    with pytest.raises(MethodError, match="no traces before"):
        rank(shop().view("traces"), Context(time_ns=1 * NS))
    with pytest.raises(MethodError, match="nothing to judge"):
        rank(shop().view("traces"), Context(time_ns=5000 * NS))


@both
def test_an_option_out_of_range_is_refused(name, shop, told):
    option = {"microrank": {"damping": 1.0}, "tracerca": {"support": 0.0}}[name]
    with pytest.raises(MethodError, match=next(iter(option))):
        methods.get(name).rank(shop().view("traces"), told, **option)


@both
def test_without_a_time_the_slow_minute_is_found(name, shop):
    ranking = methods.get(name).rank(shop(slow={"cart": 8.0}).view("traces"), Context())
    assert abs(ranking.time_ns / NS - 180) <= 5
    assert "service/cart" in order(ranking)[:2]
