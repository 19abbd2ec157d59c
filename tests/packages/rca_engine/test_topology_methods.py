# SPDX-License-Identifier: Apache-2.0
"""The methods that follow the topology: traversal, MonitorRank, MicroRCA, MicroScope."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from rca_engine import formats, methods
from rca_engine.case import CaseView
from rca_engine.diagnosis import diagnose
from rca_engine.errors import MethodError
from rca_engine.methods._topology import personalised_pagerank
from rca_engine.methods.microscope import search
from rca_engine.methods.traversal import widest_paths
from rca_engine.model import NS, Component, Edge, Metric, Topology, Window
from rca_engine.ranking import Context, Ranking

ALL = ("microrca", "microscope", "monitorrank", "traversal")
STEPS, ALERT = 120, 80
LATENCY = Metric("latency", "mean", "s", "up", "external", resolution=0.001)
AVAILABILITY = Metric("availability", "gauge", "%", "down", "external", resolution=0.1)
REQUESTS = Metric("requests_sum", "gauge", "1", "both", "external", resolution=1.0)
ERRORS = Metric("pool_errors", "rate", "1/s", "up", "internal", resolution=0.2)
KNOWN = {each.name: each for each in (LATENCY, AVAILABILITY, REQUESTS, ERRORS)}
CHAIN = [("front", "mid"), ("mid", "back")]
Series = dict[tuple[str, str], np.ndarray]


def noise(seed: int, level: float = 1.0, spread: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, spread, STEPS)


def step(values: np.ndarray, change: float, begin: int = ALERT) -> np.ndarray:
    return values + np.where(np.arange(STEPS) >= begin, change, 0.0)


def share(seed: int, change: float) -> np.ndarray:
    """A disturbance with a shape of its own, so that those who share it correlate."""
    shape = 1.0 + 0.3 * np.sin(np.arange(STEPS) * (0.7 + seed / 10))
    return np.where(np.arange(STEPS) >= ALERT, change * shape, 0.0)


def view(
    series: Mapping[tuple[str, str], np.ndarray],
    calls: Iterable[tuple[str, str]],
    *,
    hosts: Iterable[tuple[str, str]] = (),
    step_s: float = 1.0,
    known: Mapping[str, Metric] = KNOWN,
    rename: Mapping[str, str] | None = None,
) -> CaseView:
    def name(component: str) -> str:
        return f"service/{(rename or {}).get(component, component)}"

    times = pd.to_datetime(np.arange(STEPS) * round(step_s * NS), utc=True)
    parts = [
        pd.DataFrame({"timestamp": times, "component": name(c), "metric": m, "value": values})
        for (c, m), values in series.items()
    ]
    edges = [Edge(name(a), name(b), "calls") for a, b in calls]
    edges += [Edge(name(a), name(b), "runs_on") for a, b in hosts]
    ids = {c for c, _ in series} | {end for pair in [*calls, *hosts] for end in pair}
    components = tuple(Component("service", name(c).split("/", 1)[1]) for c in sorted(ids))
    window = Window(0, round(STEPS * step_s * NS))
    table = pd.concat(parts).dropna()
    return CaseView(window, step_s, Topology(components, tuple(edges)), known, {"metrics": table})


def rank(
    name: str,
    case: CaseView,
    *,
    alert: str | None = "front",
    metric: str = "latency",
    **options: object,
) -> Ranking:
    context = Context(
        time_ns=round(ALERT * case.step_s * NS),
        alert_component=None if alert is None else f"service/{alert}",
        alert_metric=metric,
    )
    return methods.get(name).rank(case, context, **options)


def order(ranking: Ranking) -> list[str]:
    return [each.component.removeprefix("service/") for each in ranking.components()]


def latencies(names: Sequence[str], hit: Mapping[str, float]) -> Series:
    shape = share(1, 1.0)
    return {
        (name, "latency"): noise(seed) + shape * hit.get(name, 0.0)
        for seed, name in enumerate(names)
    }


@pytest.fixture(params=ALL)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


# --- what the graph is for ---------------------------------------------------------------------


def test_the_deepest_unusual_component_is_the_cause(method):
    series = latencies(["front", "mid", "back", "other"], {"front": 1, "mid": 1, "back": 2})
    assert order(rank(method, view(series, [*CHAIN, ("front", "other")])))[0] == "back"


@pytest.mark.parametrize("name", ["microscope", "traversal"])
def test_calls_the_other_way_make_the_other_end_the_cause(name):
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1, "back": 1})
    backward = [(b, a) for a, b in CHAIN]
    assert order(rank(name, view(series, CHAIN)))[0] == "back"
    assert order(rank(name, view(series, backward), alert="back"))[0] == "front"


@pytest.mark.parametrize("name", ["microscope", "traversal"])
def test_the_search_starts_at_the_alert_whatever_that_is_called(name):
    calls = [("web", "db"), ("nginx-proxy", "cache")]
    series = latencies(
        ["web", "db", "nginx-proxy", "cache"],
        {"web": 1, "db": 1, "nginx-proxy": 2, "cache": 3},
    )
    assert order(rank(name, view(series, calls), alert="web"))[0] == "db"
    assert order(rank(name, view(series, calls), alert="nginx-proxy"))[0] == "cache"


@pytest.mark.parametrize("guilty", ["cart", "cart-db"])
def test_a_name_within_a_name_confuses_nothing(method, guilty):
    calls = [("front", "cart"), ("front", "cart-db")]
    names = ["front", "cart", "cart-db"]
    series = latencies(names, {"front": 1, guilty: 2})
    assert order(rank(method, view(series, calls)))[0] == guilty


def test_names_change_nothing(method):
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1.5, "back": 2})
    names = {"front": "z_1", "mid": "a", "back": "a_a/x"}
    plain = rank(method, view(series, CHAIN))
    renamed = rank(method, view(series, CHAIN, rename=names), alert="z_1")
    assert order(renamed) == [names[each] for each in order(plain)]
    assert [each.score for each in renamed.candidates] == pytest.approx(
        [each.score for each in plain.candidates]
    )


def test_the_order_of_rows_components_and_edges_changes_nothing(method):
    series = latencies(["front", "mid", "back", "x"], {"front": 1, "mid": 1, "back": 2})
    case = view(series, [*CHAIN, ("front", "x")])
    topology = Topology(case.topology.components[::-1], case.topology.edges[::-1])
    shuffled = case.tables["metrics"].sample(frac=1.0, random_state=3)
    other = replace(case, topology=topology, tables={"metrics": shuffled})
    assert rank(method, other) == rank(method, case)


def rankings() -> str:
    """Every method's ranking of one case, for a process with another hash seed."""
    series = latencies(["front", "mid", "back", "x"], {"front": 1, "mid": 1, "back": 2})
    case = view(series, [*CHAIN, ("front", "x"), ("x", "back")])
    free = view(series, [])
    return repr([*(rank(name, case) for name in ALL), rank("microscope", free)])


def test_the_hash_seed_changes_nothing():
    program = f"import runpy; print(runpy.run_path({__file__!r})['rankings']())"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] == f"{rankings()}\n"


def test_services_that_call_each_other_end_no_search_in_a_loop(method):
    calls = [("front", "a"), ("a", "b"), ("b", "a"), ("b", "c"), ("c", "front")]
    series = latencies(["front", "a", "b", "c"], {"front": 1, "a": 1, "b": 3})
    assert order(rank(method, view(series, calls)))[0] in {"a", "b"}
    series = latencies(["front", "a", "b", "c"], {"front": 1, "a": 1, "b": 1, "c": 3})
    assert "c" in order(rank(method, view(series, calls)))


@pytest.mark.parametrize("name", ["microscope", "traversal"])
def test_what_the_alert_does_not_depend_on_is_no_suspect(name):
    series = latencies(["front", "mid", "back", "lonely"], {"front": 1, "mid": 2, "lonely": 9})
    assert order(rank(name, view(series, CHAIN)))[0] == "mid"
    assert "lonely" not in order(rank(name, view(series, CHAIN)))


# --- what is unusual ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["microrca", "microscope", "traversal"])
def test_nothing_unusual_is_no_fault(name):
    series = latencies(["front", "mid", "back"], {})
    assert rank(name, view(series, CHAIN)).candidates == ()


def test_a_falling_availability_wins_and_a_rising_one_does_not(method):
    series = {
        (name, "availability"): np.clip(noise(seed, 99.0, 0.3), None, 100.0)
        for seed, name in enumerate(["front", "mid", "back"])
    }
    fallen = share(2, -20.0)
    series["front", "availability"] += fallen / 2
    series["mid", "availability"] += fallen
    series["back", "availability"] = step(np.zeros(STEPS), 100.0)  # no data before
    found = order(rank(method, view(series, CHAIN), metric="availability"))
    if method == "monitorrank":  # it compares shapes, whichever way they go
        assert found.index("mid") < found.index("front")
    else:
        assert found[0] == "mid"


def test_an_availability_that_was_constant_before_can_win(method):
    series = {(name, "availability"): np.full(STEPS, 100.0) for name in ("front", "mid", "back")}
    series["front", "availability"] = np.clip(noise(1, 99.5, 0.3), None, 100.0) + share(2, -3.0)
    series["mid", "availability"] = series["mid", "availability"] + share(2, -6.0)
    assert order(rank(method, view(series, CHAIN), metric="availability"))[0] == "mid"


@pytest.mark.parametrize("name", ["microrca", "microscope", "traversal"])
def test_rows_of_five_minutes_and_few_of_them_are_enough(name):
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1, "back": 2})
    for values in series.values():
        values[ALERT + 3 :] = np.nan
    assert order(rank(name, view(series, CHAIN, step_s=300.0)))[0] == "back"


@pytest.mark.parametrize("name", ["microrca", "microscope", "traversal"])
def test_one_row_that_jumps_is_not_lasting(name):
    series = latencies(["front", "mid", "back"], {})
    for values in series.values():
        values[ALERT + 1] += 50.0
    assert rank(name, view(series, CHAIN, step_s=300.0)).candidates == ()


def test_what_was_off_before_the_alert_did_not_begin_with_it():
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1})
    series["back", "latency"] = step(noise(7), 3.0, begin=ALERT - 2)
    case = view(series, CHAIN, step_s=300.0)
    assert order(rank("traversal", case))[0] == "mid"
    assert order(rank("traversal", case, recent_s=0.0))[0] == "back"


def test_a_small_anomaly_below_does_not_explain_a_large_one_above():
    series = latencies(["front", "mid", "back"], {"front": 2, "mid": 2, "back": 0.08})
    assert order(rank("traversal", view(series, CHAIN)))[0] == "mid"


# --- traversal: who explains most --------------------------------------------------------------


def test_of_two_leaves_alike_the_one_that_more_callers_share_wins():
    calls = [("front", "alone"), ("front", "shared"), ("batch", "shared")]
    hit = {"front": 1, "alone": 1, "shared": 1, "batch": 1}
    series = latencies(["front", "alone", "shared", "batch"], hit)
    assert order(rank("traversal", view(series, calls)))[0] == "shared"


@pytest.mark.parametrize("busy", ["left", "right"])
def test_of_two_leaves_alike_the_one_that_can_account_for_the_trouble_wins(busy):
    series = latencies(["front", "left", "right"], {"front": 1, "left": 1, "right": 1})
    for name in ("front", "left", "right"):
        series[name, "requests_sum"] = np.full(STEPS, 5.0 if name not in {"front", busy} else 500.0)
    case = view(series, [("front", "left"), ("front", "right")])
    assert order(rank("traversal", case))[0] == busy
    untold = {order(rank("traversal", case, traffic=name))[0] for name in (None, "no_such_metric")}
    assert len(untold) == 1


def test_a_component_that_is_not_measured_lets_the_search_through():
    series = latencies(["front", "back"], {"front": 1, "back": 2})
    assert order(rank("traversal", view(series, CHAIN))) == ["back", "front"]


def test_an_alert_on_what_is_not_measured_is_believed():
    series = latencies(["mid", "back"], {"mid": 1, "back": 2})
    assert order(rank("traversal", view(series, CHAIN)))[0] == "back"


def test_symptoms_of_another_kind_are_left_out():
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1})
    for name in ("front", "mid", "back"):
        series[name, "availability"] = np.full(STEPS, 100.0)
    series["back", "availability"] = step(series["back", "availability"], -50.0)
    assert order(rank("traversal", view(series, CHAIN)))[0] == "mid"


def test_an_internal_metric_is_told_before_what_callers_see():
    series = latencies(["front", "mid"], {"front": 1, "mid": 2})
    series["mid", "pool_errors"] = step(np.zeros(STEPS), 3.0)
    best = rank("traversal", view(series, [("front", "mid")])).candidates[0]
    assert (best.component, best.metric) == ("service/mid", "pool_errors")
    assert best.evidence.before == 0.0
    assert best.evidence.after == 3.0
    assert best.evidence.first_deviation_ns == ALERT * NS


def test_a_host_that_is_unusual_explains_all_that_run_on_it():
    series = latencies(["front", "a", "b"], {"front": 1, "a": 1, "b": 1})
    series["node", "pool_errors"] = step(np.abs(noise(9, 1.0, 0.2)), 20.0)
    case = view(series, [("front", "a"), ("front", "b")], hosts=[("a", "node"), ("b", "node")])
    assert order(rank("traversal", case))[0] == "node"


def test_without_directions_every_metric_counts_both_ways():
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1, "back": -2})
    assert order(rank("traversal", view(series, CHAIN, known={})))[0] == "back"


def test_the_time_may_be_left_to_the_method(method):
    series = latencies(["front", "mid", "back"], {"front": 1, "mid": 1, "back": 2})
    context = Context(alert_component="service/front", alert_metric="latency")
    ranking = methods.get(method).rank(view(series, CHAIN), context)
    assert ranking.components()[0].component == "service/back"
    assert abs(ranking.time_ns / NS - ALERT) <= 3


# --- bad inputs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["microrca", "monitorrank", "traversal"])
def test_without_a_topology_the_reason_says_what_to_do(name):
    with pytest.raises(MethodError, match=r"topology\.json .* or use a method .* such as baro"):
        rank(name, view(latencies(["front", "mid"], {"mid": 1}), []))


def test_microscope_discovers_a_graph_where_there_is_none_and_says_so():
    shape = np.cumsum(np.random.default_rng(0).normal(0, 0.03, STEPS)) + share(1, 1.0)
    back = noise(1) + shape
    mid = 0.9 * back + noise(2)
    series = {
        ("front", "latency"): 0.9 * mid + noise(3),
        ("mid", "latency"): mid,
        ("back", "latency"): back,
        ("still", "latency"): np.ones(STEPS),
        ("twin", "latency"): back.copy(),
    }
    ranking = rank("microscope", view(series, []))
    assert "discovered by PC" in ranking.degraded
    assert ranking.candidates
    nobody = rank("microscope", view(series, []), alert=None)
    assert "the case has no alert: the search starts at" in nobody.degraded


def test_an_alert_is_needed_and_must_be_in_the_topology(method):
    case = view(latencies(["front", "mid", "back"], {"back": 1}), CHAIN)
    with pytest.raises(MethodError, match="the case has no alert: name one"):
        rank(method, case, alert=None)
    with pytest.raises(MethodError, match=r"service/fron, which is not in the topology: .*front"):
        rank(method, case, alert="fron")


def test_monitorrank_needs_the_alerting_series():
    with pytest.raises(MethodError, match="the case has none of service/front"):
        rank("monitorrank", view(latencies(["mid", "back"], {"back": 1}), CHAIN))


def test_a_window_too_short_is_a_reason(method):
    case = view(latencies(["front", "mid", "back"], {"back": 1}), CHAIN)
    start = methods.get(method).rank
    with pytest.raises(MethodError, match="normal window has 0 rows"):
        start(case, Context(time_ns=5 * NS, alert_component="service/front"))
    with pytest.raises(MethodError, match="anomalous window has 0 rows"):
        start(case, Context(time_ns=2 * STEPS * NS, alert_component="service/front"))


def test_gaps_empty_infinite_and_late_series_neither_crash_nor_win(method):
    series = latencies(["front", "mid", "back", "x"], {"front": 1, "mid": 2})
    series["mid", "latency"][ALERT + 5 : ALERT + 12] = np.nan
    series["back", "latency"][: ALERT + 2] = np.nan
    series["back", "availability"] = np.full(STEPS, np.nan)
    series["x", "latency"] = np.full(STEPS, np.inf)
    found = order(rank(method, view(series, [*CHAIN, ("front", "x")])))
    assert found[0] == "mid"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("traversal", {"level": 1.0}),
        ("traversal", {"recent_s": -1.0}),
        ("traversal", {"guard_s": -1.0}),
        ("monitorrank", {"damping": 1.0}),
        ("monitorrank", {"rho": 1.0}),
        ("microrca", {"alpha": 0.0}),
        ("microscope", {"limit": 1}),
    ],
)
def test_an_option_out_of_range_is_refused(name, options):
    case = view(latencies(["front", "mid", "back"], {"back": 1}), CHAIN)
    with pytest.raises(MethodError, match=next(iter(options))):
        rank(name, case, **options)


# --- the pieces --------------------------------------------------------------------------------


def test_the_solved_walk_is_the_iterated_one():
    weights = np.random.default_rng(0).random((6, 6)) * (
        np.random.default_rng(1).random((6, 6)) < 0.4
    )
    weights[3] = 0.0  # a dead end
    preference = np.arange(6.0)
    graph = nx.from_numpy_array(weights, create_using=nx.DiGraph)
    personal = dict(enumerate(preference))
    expected = nx.pagerank(graph, 0.85, personalization=personal, tol=1e-12, dangling=personal)
    found = personalised_pagerank(weights, preference, 0.85)
    assert found == pytest.approx([expected[node] for node in range(6)], abs=1e-9)


def test_widest_paths_are_those_of_trying_all():
    random = np.random.default_rng(4)
    edges, width = random.random((6, 6)) < 0.3, random.random(6)
    np.fill_diagonal(edges, False)
    graph = nx.from_numpy_array(edges.astype(int), create_using=nx.DiGraph)
    found = widest_paths(edges, width)
    for a, b in itertools.permutations(range(6), 2):
        paths = nx.all_simple_paths(graph, a, b)
        assert found[a, b] == max((width[path].min() for path in paths), default=0.0)
    assert (np.diag(found) == width).all()


def test_a_search_keeps_the_ends_and_a_whole_cycle_as_one_end():
    edges = np.zeros((5, 5), dtype=bool)
    for a, b in [(0, 1), (1, 2), (2, 1), (0, 3), (3, 4)]:
        edges[a, b] = True
    abnormal = np.array([True, True, True, True, False])
    assert np.flatnonzero(search(edges, abnormal, 0)).tolist() == [1, 2, 3]


# --- real and simulated cases ------------------------------------------------------------------


@pytest.mark.parametrize("time", ["alert", "none"])
def test_in_the_lab_the_starved_replica_is_found_with_its_cause(case, time):
    answer = diagnose(case, "traversal", time=time)
    assert answer.rank_of(case.truth) == 1
    told = [each.metric for each, _ in answer.evidence if each.component == answer.ranking[0]]
    assert set(told) & set(case.truth.root_causes[answer.ranking[0]])


@pytest.mark.slow
def test_petshop_reaches_the_published_traversal_on_both_splits(test_data):
    ranks: dict[tuple[str, str], list[int | None]] = {}
    for each in formats.get("petshop").entries(test_data / "data" / "petshop_low"):
        loaded = each.load()
        found = diagnose(loaded, "traversal").rank_of(loaded.truth)
        ranks.setdefault((each.system.rpartition("-")[2], each.fault), []).append(found)
    best = {key: np.mean([rank == 1 for rank in found]) for key, found in ranks.items()}
    assert best["test", "latency"] >= 0.57
    assert best["test", "availability"] >= 0.83
    assert best["train", "latency"] == best["train", "availability"] == 1.0
