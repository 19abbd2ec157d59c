# SPDX-License-Identifier: Apache-2.0
"""CIRCA, CausalAI, MicroCause, CausalRCA and neural Granger: what each must get right."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rca_engine import methods
from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _spot, circa, microcause
from rca_engine.methods._structure import Signal, signal_of, structural_causes
from rca_engine.methods.causalai import links_with_failure
from rca_engine.model import NS, Component, Edge, Metric, Topology, Window
from rca_engine.ranking import Context, Ranking

STEPS, ALERT_S = 400, 300
NAMES = ["causalai", "causalrca", "circa", "cmlp_pagerank", "microcause"]
LATENCY = {"latency": Metric("latency", "gauge", "s", direction="up", scope="external")}
Key = tuple[str, str]
A, B, C, D, ALONE = (
    ("service/a", "svc_ctn_cpu"),
    ("service/b", "svc_ctn_cpu"),
    ("service/c", "queue"),
    ("service/d", "latency"),
    ("node/0", "load"),
)
CONTEXT = Context(time_ns=ALERT_S * NS, alert_component="service/d", alert_metric="latency")


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest) -> methods.Method:
    return methods.get(request.param)


def system(seed: int = 3) -> dict[Key, np.ndarray]:
    """A -> C <- B and C -> D a step later each, A broken from shortly before the alert on."""
    rng = np.random.default_rng(seed)
    a, b, c, d, alone = rng.normal(size=(5, STEPS))
    a += np.where(np.arange(STEPS) >= ALERT_S - 3, 8.0 + rng.normal(size=STEPS), 0.0)
    c = 0.7 * c + 0.6 * np.roll(a, 1) + 0.6 * np.roll(b, 1)
    d = 0.7 * d + np.roll(c, 1)
    return {A: a, B: b, C: c, D: d, ALONE: alone}


def view(series: dict[Key, np.ndarray], topology: Topology | None = None) -> CaseView:
    times = pd.to_datetime(np.arange(STEPS) * NS, utc=True)
    parts = [
        pd.DataFrame({"timestamp": times, "component": component, "metric": name, "value": values})
        for (component, name), values in series.items()
    ]
    table = pd.concat(parts).dropna()
    shape = topology or Topology((), ())
    return CaseView(Window(0, STEPS * NS), 1.0, shape, LATENCY, {"metrics": table})


def rank(method: methods.Method, series: dict[Key, np.ndarray], **options: object) -> Ranking:
    return method.rank(view(series), CONTEXT, **options)


def order(ranking: Ranking) -> list[Key]:
    return [(each.component, each.metric) for each in ranking.candidates]


def test_the_cause_is_first_and_the_alert_is_no_answer(method):
    ranked = order(rank(method, system()))
    assert ranked[0] == A
    assert sorted(ranked) == sorted({A, B, C, ALONE})


def test_names_and_the_order_of_columns_change_nothing(method):
    series = system()
    for extra in range(4):
        series[f"service/x{extra}", "cpu"] = system(seed=10 + extra)[C]
    names = {key: (f"service/{99 - place}", "m") for place, key in enumerate(series)}
    names[D] = D
    plain = rank(method, series)
    shuffled = rank(method, dict(reversed(series.items())))
    renamed = rank(method, {names[key]: values for key, values in series.items()})
    assert shuffled == plain
    assert order(renamed) == [names[key] for key in order(plain)]
    assert [each.score for each in renamed.candidates] == [e.score for e in plain.candidates]
    assert [each.evidence for each in renamed.candidates] == [e.evidence for e in plain.candidates]


def test_a_copy_shares_the_score_and_the_ranking_says_so(method):
    series = system()
    series["service/z", "cpu_percent"] = 100.0 * series[A]
    ranking = rank(method, series)
    scores = {(each.component, each.metric): each.score for each in ranking.candidates}
    assert scores[A] == scores["service/z", "cpu_percent"]
    assert "metrics that move exactly as another share its score" in ranking.degraded


def test_constant_empty_gappy_and_late_metrics_neither_crash_nor_win(method):
    series = system()
    gappy, late = series[A].copy(), system(seed=9)[B]
    gappy[50:90] = np.nan
    late[:250] = np.nan
    series |= {
        A: gappy,
        ("service/constant", "m"): np.full(STEPS, 4.0),
        ("service/empty", "m"): np.full(STEPS, np.nan),
        ("service/late", "m"): late,
    }
    ranking = rank(method, series)
    assert order(ranking)[0] == A
    assert order(ranking)[-1] == ("service/constant", "m")
    assert ("service/empty", "m") not in order(ranking)
    assert "1 metrics are unknown for more than half of the time" in ranking.degraded


def test_a_metric_that_was_constant_before_can_win(method):
    series = system()
    throttled = np.where(np.arange(STEPS) >= ALERT_S - 3, 40.0, 0.0)
    throttled += np.where(throttled > 0, np.random.default_rng(1).normal(size=STEPS), 0.0)
    series[A] = throttled
    series[C] = series[C] + 0.05 * np.roll(throttled, 1)
    ranked = order(rank(method, series))
    assert ranked.index(A) <= 1


def test_nothing_unusual_is_no_fault(method):
    rng = np.random.default_rng(0)
    quiet = {(f"service/{n}", "cpu"): rng.normal(size=STEPS) for n in range(5)}
    assert rank(method, quiet).candidates == ()


def test_one_metric_is_a_reason_and_no_ranking(method):
    with pytest.raises(MethodError, match="a search for causes needs two"):
        rank(method, {A: system()[A]})


def test_too_short_a_window_is_a_reason_and_no_ranking(method):
    with pytest.raises(MethodError, match="normal window has 2 steps"):
        method.rank(view(system()), Context(time_ns=12 * NS))


def test_few_steps_are_a_reason_or_a_smaller_search_and_the_ranking_says_so(method):
    series = {key: np.where(np.arange(STEPS) < 280, np.nan, v) for key, v in system().items()}
    series |= {
        (f"service/x{n}", "cpu"): np.where(np.arange(STEPS) < 280, np.nan, system(seed=20 + n)[B])
        for n in range(16)
    }
    ranking = method.rank(view(series), CONTEXT, guard_s=4.0)
    assert "are enough to look at" in ranking.degraded
    assert len(ranking.candidates) == 20


@pytest.mark.parametrize("name", ["causalrca", "cmlp_pagerank"])
def test_a_spent_budget_ends_training_and_is_told(name):
    context = Context(CONTEXT.time_ns, "service/d", "latency", budget_s=0.0)
    ranking = methods.get(name).rank(view(system()), context)
    assert "training ended early, at the budget of 0 s" in ranking.degraded


@pytest.mark.parametrize("name", ["causalrca", "cmlp_pagerank"])
def test_a_seed_repeats_and_another_one_says_about_the_same(name):
    method, case = methods.get(name), view(system())
    first, again, other = (
        method.rank(case, Context(CONTEXT.time_ns, "service/d", "latency", seed=seed))
        for seed in (1, 1, 2)
    )
    assert again == first
    assert order(other)[0] == order(first)[0] == A


# CIRCA


def test_circa_regresses_on_parents_and_not_on_children():
    causes = np.zeros((4, 4), dtype=bool)
    causes[0, 2] = causes[1, 2] = causes[2, 3] = True
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 500))
    normal = np.arange(500) < 400
    a = a + np.where(normal, 0.0, 9.0)
    c = a + b + 0.5 * c
    d = c + 0.5 * d
    residual, widening = circa.residuals(np.stack([a, b, c, d], axis=1), normal, causes)
    shift = np.abs(residual[~normal].mean(axis=0) / residual[normal].std(axis=0))
    assert shift[0] > 8
    assert (shift[1:] < 1.0).all()
    assert (widening >= 1.0).all()
    reversed_, _ = circa.residuals(np.stack([a, b, c, d], axis=1), normal, causes.T)
    assert np.abs(reversed_[~normal].mean(axis=0) / reversed_[normal].std(axis=0))[0] < 8


def test_circa_trusts_a_prediction_less_the_farther_its_parents_are_from_normal():
    rng = np.random.default_rng(0)
    parent = rng.normal(size=200) + np.where(np.arange(200) < 150, 0.0, 100.0)
    child = 0.1 * parent + rng.normal(size=200)
    causes = np.array([[False, True], [False, False]])
    _, widening = circa.residuals(np.stack([parent, child], axis=1), np.arange(200) < 150, causes)
    assert widening[:150, 1].max() < 1.1
    assert widening[150:, 1].min() > 5


def test_descendant_adjustment_lifts_a_cause_over_its_louder_effect():
    causes = np.zeros((4, 4), dtype=bool)
    causes[0, 1] = causes[1, 2] = True
    score = np.array([5.0, 1.0, 9.0, 6.0])
    adjusted = circa.adjusted(score, causes, threshold=3.0)
    # Metric 1 is quiet: it gets nothing and passes on what lies behind it.
    assert adjusted.tolist() == [14.0, 1.0, 9.0, 6.0]


def test_descendant_adjustment_ends_where_the_graph_is_a_cycle():
    causes = np.array([[False, True], [True, False]])
    assert circa.adjusted(np.array([5.0, 4.0]), causes, 3.0).tolist() == [9.0, 9.0]


def test_an_isolated_metric_is_scored_by_circa():
    series = system()
    series[ALONE] = series[ALONE] + np.where(np.arange(STEPS) >= ALERT_S - 3, 30.0, 0.0)
    assert order(rank(methods.get("circa"), series, adjust=False))[0] == ALONE


def facts() -> list[Metric]:
    return [
        Metric("requests", "rate", "1/s", "both", "external"),
        Metric("cpu", "gauge", "cores", "both", "internal"),
        Metric("latency", "mean", "s", "up", "external"),
    ]


def test_a_metric_means_what_its_facts_say_and_not_its_name():
    traffic, saturation, outcome = (signal_of(each) for each in facts())
    assert (traffic, saturation, outcome) == tuple(Signal)
    assert signal_of(Metric("x", "rate", "tokens/s", "both", "internal")) is Signal.TRAFFIC
    assert signal_of(Metric("x", "rate", "bytes/s", "both", "internal")) is Signal.SATURATION


def test_the_structural_graph_leads_load_down_and_trouble_up():
    parts = tuple(Component("service", name) for name in ("front", "back"))
    topology = Topology(
        (*parts, Component("node", "n")),
        (
            Edge("service/front", "service/back", "calls"),
            Edge("service/back", "node/n", "runs_on"),
        ),
    )
    components = ["service/front"] * 3 + ["service/back"] * 3 + ["node/n"]
    causes = structural_causes(components, [*facts(), *facts(), facts()[1]], topology)
    pairs = {tuple(map(int, pair)) for pair in np.argwhere(causes)}
    within = {(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)}
    between = {(0, 3), (5, 2)}
    machine = {(3, 6), (6, 4), (6, 5)}
    assert pairs == within | between | machine


def test_of_a_callee_the_metric_of_the_same_name_counts():
    p50, p90 = (Metric(name, "quantile", "s", "up", "external") for name in ("p50", "p90"))
    topology = Topology((), (Edge("service/front", "service/back", "calls"),))
    components = ["service/back", "service/back", "service/front", "service/front"]
    other = Metric("mean", "mean", "s", "up", "external")
    causes = structural_causes(components, [p50, p90, p90, other], topology)
    assert np.flatnonzero(causes[:, 2]).tolist() == [1]
    assert np.flatnonzero(causes[:, 3]).tolist() == [0, 1]


def test_with_a_call_graph_circa_finds_the_callee_whose_trouble_nothing_explains():
    rng = np.random.default_rng(0)
    back, own = rng.normal(size=(2, STEPS))
    back = 10 + back + np.where(np.arange(STEPS) >= ALERT_S - 3, 6.0, 0.0)
    front = 20 + 3 * back + own
    shape = (
        (Component("service", "front"), Component("service", "back")),
        (Edge("service/front", "service/back", "calls"),),
    )
    series = {("service/back", "latency"): back, ("service/front", "latency"): front}
    ranking = methods.get("circa").rank(view(series, Topology(*shape)), Context(ALERT_S * NS))
    assert [each.component for each in ranking.candidates] == ["service/back", "service/front"]


# CausalAI


def test_the_failure_stays_linked_with_the_cause_and_with_none_of_its_effects():
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 600))
    failure = (np.arange(600) >= 450).astype(float)
    a = a + 3 * failure
    c = a + b + 0.5 * c
    d = c + 0.5 * d
    weakest = links_with_failure(np.stack([a, b, c, d], axis=1), failure, 0.01, 3)
    assert weakest[0] > 10
    assert (weakest[1:] < 3).all()


# MicroCause


def test_microcause_starts_at_what_callers_see_and_says_if_there_is_no_such_thing():
    method, series = methods.get("microcause"), system()
    assert method.rank(view(series), CONTEXT).degraded is None
    seen = method.rank(view(series), Context(ALERT_S * NS))
    assert seen.degraded is None
    assert D in order(seen)
    del series[D]
    blind = method.rank(view(series), Context(ALERT_S * NS))
    assert "no metric is known to be seen by callers: started at" in blind.degraded


def test_the_walk_changes_when_the_alert_does():
    series = system()
    series["service/e", "latency"] = np.roll(series[ALONE], 1) + 0.1 * series[B]
    method, case = methods.get("microcause"), view(series)
    walks = [
        method.rank(case, Context(ALERT_S * NS, component, "latency"), walk_share=1.0)
        for component in ("service/d", "service/e")
    ]
    scores = [{(e.component, e.metric): e.score for e in walk.candidates} for walk in walks]
    assert scores[0][A] > scores[0][ALONE]
    assert scores[1][ALONE] > scores[1][A]


def test_relevance_is_given_the_parents_of_both():
    rng = np.random.default_rng(0)
    a, c, d = rng.normal(size=(3, 2000))
    c = a + c
    d = c + d
    causes = np.zeros((3, 3), dtype=bool)
    causes[0, 1] = causes[1, 2] = True
    relevance = microcause.relevance(np.stack([a, c, d], axis=1), causes, start=2)
    assert relevance[2] == 1.0
    assert relevance[1] > 0.5
    assert relevance[0] < 0.1


def test_the_limit_of_spot_is_exceeded_as_often_as_asked():
    rng = np.random.default_rng(0)
    samples = np.stack(
        [rng.normal(size=2000), rng.exponential(size=2000), rng.standard_t(5, size=2000)], axis=1
    )
    limit = _spot.limits(samples, risk=1e-3)
    assert limit == pytest.approx([3.09, 6.91, 5.89], rel=0.2)


def test_spot_bears_constant_metrics_and_short_windows():
    assert _spot.limits(np.zeros((30, 2))).tolist() == [0.0, 0.0]
    assert np.isfinite(_spot.limits(np.random.default_rng(0).normal(size=(5, 3)))).all()


_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
import test_causal_methods as t
for name in t.NAMES:
    ranking = t.rank(t.methods.get(name), t.system())
    print(name, t.order(ranking), [f"{each.score:.6g}" for each in ranking.candidates])
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
