# SPDX-License-Identifier: Apache-2.0
"""What every method that ranks by a causal graph must get right; each test runs for each."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rca_engine import methods
from rca_engine.case import CaseView
from rca_engine.discovery._memo import discover_once
from rca_engine.discovery.graph import CausalGraph
from rca_engine.errors import MethodError
from rca_engine.model import NS, Metric, Topology, Window
from rca_engine.ranking import Context, Ranking

STEPS, ALERT_S = 600, 400
NAMES = [
    "pc_pagerank",
    "pc_randomwalk",
    "fci_pagerank",
    "fci_randomwalk",
    "granger_pagerank",
    "granger_randomwalk",
    "lingam_pagerank",
    "lingam_randomwalk",
    "ges_pagerank",
    "graph_search",
]
LATENCY = {"latency": Metric("latency", "gauge", "s", direction="up", scope="external")}
Key = tuple[str, str]
A, B, C, D, ALONE = (
    ("service/a", "cpu"),
    ("service/b", "cpu"),
    ("service/c", "queue"),
    ("service/d", "latency"),
    ("node/0", "load"),
)


@pytest.fixture(params=NAMES)
def method(request) -> methods.Method:
    return methods.get(request.param)


def system(method: methods.Method | None = None, seed: int = 3) -> dict[Key, np.ndarray]:
    """A -> C <- B and C -> D, A broken from the alert on; Granger sees causes in the past only."""
    rng = np.random.default_rng(seed)
    late = 1 if method is not None and method.name.startswith("granger") else 0
    a, b, c, d, alone = rng.uniform(-1, 1, (5, STEPS))
    a += np.where(np.arange(STEPS) >= ALERT_S - 3, 4.0 + rng.uniform(-1, 1, STEPS), 0.0)
    c += 0.8 * np.roll(a, late) + 0.8 * np.roll(b, late)
    d += np.roll(c, late)
    return {A: a, B: b, C: c, D: d, ALONE: alone}


def view(series: dict[Key, np.ndarray]) -> CaseView:
    times = pd.to_datetime(np.arange(STEPS) * NS, utc=True)
    parts = [
        pd.DataFrame({"timestamp": times, "component": component, "metric": name, "value": values})
        for (component, name), values in series.items()
    ]
    table = pd.concat(parts).dropna()
    return CaseView(Window(0, STEPS * NS), 1.0, Topology((), ()), LATENCY, {"metrics": table})


def rank(method: methods.Method, series: dict[Key, np.ndarray], **options: object) -> Ranking:
    context = Context(time_ns=ALERT_S * NS, alert_component="service/d", alert_metric="latency")
    return method.rank(view(series), context, **options)


def order(ranking: Ranking) -> list[Key]:
    return [(each.component, each.metric) for each in ranking.candidates]


def test_the_cause_is_first_and_the_alert_is_no_answer(method):
    ranked = order(rank(method, system(method)))
    assert ranked[0] == A
    assert D not in ranked


def test_every_metric_but_the_alert_is_ranked_once_with_its_own_evidence(method):
    series = system(method)
    ranking = rank(method, series)
    assert sorted(order(ranking)) == sorted([A, B, C, ALONE])
    for each in ranking.candidates:
        before = np.median(series[each.component, each.metric][: ALERT_S - 10])
        assert each.evidence.before == pytest.approx(before)


def test_names_and_the_order_of_columns_change_nothing(method):
    series = system(method)
    for extra in range(6):
        series[f"service/x{extra}", "cpu"] = system(method, seed=10 + extra)[C]
    names = {key: (f"service/{99 - place}", "m") for place, key in enumerate(series)}
    names[D] = D
    plain = rank(method, series)
    shuffled = rank(method, dict(reversed(series.items())))
    renamed = rank(method, {names[key]: values for key, values in series.items()})
    assert shuffled == plain
    assert order(renamed) == [names[key] for key in order(plain)]
    assert [each.score for each in renamed.candidates] == [e.score for e in plain.candidates]
    assert [each.evidence for each in renamed.candidates] == [e.evidence for e in plain.candidates]


def test_a_twin_shares_the_score_and_the_ranking_says_so(method):
    series = system(method)
    series["service/z", "cpu_percent"] = 100.0 * series[A]
    ranking = rank(method, series)
    scores = {(each.component, each.metric): each.score for each in ranking.candidates}
    assert scores[A] == scores["service/z", "cpu_percent"]
    assert "share its score: service/z/cpu_percent as service/a/cpu" in ranking.degraded or (
        "share its score: service/a/cpu as service/z/cpu_percent" in ranking.degraded
    )


def test_constant_empty_and_gappy_metrics_neither_crash_nor_win(method):
    series = system(method)
    gappy = series[A].copy()
    gappy[50:90] = np.nan
    rarely = np.where(np.arange(STEPS) % 3 == 0, system(method, seed=9)[B], np.nan)
    plain = order(rank(method, series))
    series |= {
        A: gappy,
        ("service/constant", "m"): np.full(STEPS, 4.0),
        ("service/empty", "m"): np.full(STEPS, np.nan),
        ("service/rarely", "m"): rarely,
    }
    ranking = rank(method, series)
    ranked = order(ranking)
    assert ranked[0] == plain[0]
    assert set(ranked) == {*plain, ("service/constant", "m"), ("service/rarely", "m")}
    assert "1 metrics are unknown for more than half of the time" in ranking.degraded


def test_nothing_unusual_is_no_fault(method):
    rng = np.random.default_rng(0)
    quiet = {(f"service/{n}", "cpu"): rng.normal(size=STEPS) for n in range(5)}
    assert rank(method, quiet).candidates == ()


def test_one_metric_is_no_graph(method):
    with pytest.raises(MethodError, match="a search for causes needs two"):
        rank(method, {A: system(method)[A]})


def test_metrics_beyond_the_limit_follow_by_deviation(method):
    ranking = rank(method, system(method), limit=2)
    assert set(order(ranking)) == {A, B, C, ALONE}
    assert all(each.score == 0 for each in ranking.candidates if each.component == "node/0")


def unrelated() -> dict[Key, np.ndarray]:
    """Metrics without a link, one of which left its range for too short to correlate."""
    rng = np.random.default_rng(0)
    series = {(f"service/{n}", "cpu"): rng.normal(size=STEPS) for n in range(5)}
    series["service/2", "cpu"][ALERT_S : ALERT_S + 25] += 8.0
    return series


@pytest.mark.parametrize("name", ["granger_pagerank", "granger_randomwalk"])
def test_a_ranking_without_a_graph_says_so(name):
    ranking = rank(methods.get(name), unrelated())
    assert "the discovered graph has no usable link: ranked by deviation" in ranking.degraded
    assert order(ranking)[0] == ("service/2", "cpu")
    assert all(each.score == 0 for each in ranking.candidates)


def test_a_walk_that_leads_nowhere_says_so():
    series = system()
    series[D] = np.random.default_rng(7).uniform(-1, 1, STEPS)
    ranking = rank(methods.get("pc_randomwalk"), series, alpha=0.001)
    assert "no link of the discovered graph leads from service/d/latency" in ranking.degraded


def test_a_walk_without_an_alert_begins_at_what_callers_see_and_says_what_else():
    method, series = methods.get("fci_randomwalk"), system()
    seen = method.rank(view(series), Context(time_ns=ALERT_S * NS))
    assert seen.degraded is None
    assert ("service/d", "latency") in order(seen)
    blind = method.rank(
        view({key: values for key, values in series.items() if key != D}),
        Context(time_ns=ALERT_S * NS),
    )
    assert "no metric is known to be seen by callers" in blind.degraded


def test_few_steps_make_a_smaller_graph_and_the_ranking_says_so(method):
    series = {key: values[ALERT_S - 20 : ALERT_S + 10] for key, values in system(method).items()}
    rng = np.random.default_rng(0)
    series |= {(f"service/x{n}", "cpu"): rng.uniform(size=30) for n in range(12)}
    times = pd.to_datetime(np.arange(30) * NS, utc=True)
    table = pd.concat(
        [
            pd.DataFrame({"timestamp": times, "component": c, "metric": m, "value": v})
            for (c, m), v in series.items()
        ]
    )
    case = CaseView(Window(0, 30 * NS), 1.0, Topology((), ()), LATENCY, {"metrics": table})
    context = Context(time_ns=20 * NS, alert_component="service/d", alert_metric="latency")
    ranking = method.rank(case, context, guard_s=4.0)
    assert len(ranking.candidates) == 16
    assert "the windows' steps are enough to look at 8 metrics only" in ranking.degraded


def test_heads_share_one_discovery():
    calls = []

    def discover(values, *, alpha):
        calls.append(alpha)
        return CausalGraph.directed(np.zeros((2, 2), dtype=bool))

    values = np.random.default_rng(0).normal(size=(20, 2))
    for alpha, given in [(0.1, values), (0.1, values.copy()), (0.2, values), (0.1, values + 1)]:
        discover_once(functools.partial(discover, alpha=alpha), given)
    assert calls == [0.1, 0.2, 0.1]


_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
import test_graph_methods as t
for name in t.NAMES:
    method = t.methods.get(name)
    print(name, t.rank(method, t.system(method)))
"""


def test_neither_hash_seed_nor_threads_change_anything(request):
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _ALL, str(request.path.parent)],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, threads in (("0", "1"), ("7", "2"))
    }
    assert len(outputs) == 1
    assert "service/a" in outputs.pop()
