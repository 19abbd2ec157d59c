# SPDX-License-Identifier: Apache-2.0
"""What every deviation method must get right; each test runs for each of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rca_engine import methods
from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.model import NS, Metric, Topology, Window
from rca_engine.ranking import Context, Ranking

STEPS, ALERT_S = 120, 80
Series = dict[tuple[str, str], np.ndarray]


@pytest.fixture(params=["baro", "nsigma"])
def method(request: pytest.FixtureRequest) -> methods.Method:
    return methods.get(request.param)


def noise(seed: int, level: float = 10.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, spread, STEPS)


def step(values: np.ndarray, change: float) -> np.ndarray:
    return values + np.where(np.arange(STEPS) >= ALERT_S - 3, change, 0.0)


def view(series: Series, **known: Metric) -> CaseView:
    times = pd.to_datetime(np.arange(STEPS) * NS, utc=True)
    parts = [
        pd.DataFrame({"timestamp": times, "component": component, "metric": name, "value": values})
        for (component, name), values in series.items()
    ]
    long = pd.concat(parts).dropna()
    window = Window(0, STEPS * NS)
    return CaseView(window, 1.0, Topology((), ()), known, {"metrics": long})


def rank(method: methods.Method, case: CaseView, **options: object) -> Ranking:
    context = Context(time_ns=ALERT_S * NS, alert_component="client/loadgen")
    return method.rank(case, context, **options)


def top(ranking: Ranking) -> tuple[str, str | None]:
    return ranking.candidates[0].component, ranking.candidates[0].metric


@pytest.mark.parametrize("change", [8.0, -8.0])
def test_a_metric_that_rises_or_falls_wins(method, change):
    series = {(f"replica/llm-{n}", "m"): noise(n) for n in range(4)}
    series["replica/llm-2", "m"] = step(series["replica/llm-2", "m"], change)
    ranking = rank(method, view(series))
    assert top(ranking) == ("replica/llm-2", "m")
    evidence = ranking.candidates[0].evidence
    assert evidence.direction == ("up" if change > 0 else "down")
    assert evidence.before == pytest.approx(10, abs=0.5)
    assert evidence.after == pytest.approx(10 + change, abs=0.7)
    assert evidence.first_deviation_ns == (ALERT_S - 3) * NS


def test_a_metric_that_was_constant_before_can_win(method):
    series = {
        ("replica/llm-0", "throttled"): step(np.zeros(STEPS), 5.0),
        ("replica/llm-1", "latency"): step(noise(1), 6.0),
        ("node/n", "free"): noise(2, 8e9, 1e7),
    }
    assert top(rank(method, view(series))) == ("replica/llm-0", "throttled")


def test_a_change_below_the_resolution_of_its_unit_does_not_win(method):
    memory = Metric("memory", "gauge", "bytes", resolution=1048576.0)
    series = {
        ("node/n", "memory"): step(np.full(STEPS, 8e9), 4096.0),
        ("replica/llm-1", "latency"): step(noise(1), 6.0),
    }
    assert top(rank(method, view(series, memory=memory))) == ("replica/llm-1", "latency")


def test_one_outlier_is_no_lasting_deviation_unless_the_maximum_is_asked_for(method):
    spike = noise(1)
    spike[ALERT_S + 10] += 60
    series = {("a/spike", "m"): spike, ("a/fault", "m"): step(noise(2), 15.0)}
    assert top(rank(method, view(series))) == ("a/fault", "m")
    assert top(rank(method, view(series), quantile=1.0)) == ("a/spike", "m")


def test_nothing_unusual_is_no_fault(method):
    series = {(f"a/{n}", "m"): noise(n) for n in range(6)}
    assert rank(method, view(series)).candidates == ()


def test_directed_counts_only_what_is_bad(method):
    rate = Metric("rate", "rate", "1/s", direction="down")
    series = {("a/victim", "rate"): step(noise(1), 9.0), ("a/guilty", "rate"): step(noise(2), -6.0)}
    case = view(series, rate=rate)
    assert top(rank(method, case))[0] == "a/victim"
    assert top(rank(method, case, directed=True))[0] == "a/guilty"


def test_what_the_alerting_client_sees_is_a_symptom_and_what_it_sends_is_not(method):
    known = {
        "ttft": Metric("ttft", "mean", "s", scope="external"),
        "load": Metric("load", "rate", "1/s", scope="internal"),
    }
    series = {
        ("client/loadgen", "ttft"): step(noise(1), 50.0),
        ("client/loadgen", "load"): step(noise(2), 20.0),
        ("replica/llm-0", "m"): step(noise(3), 5.0),
    }
    ranking = rank(method, view(series, **known))
    assert [each.metric for each in ranking.candidates] == ["load", "m"]


def test_order_of_columns_and_names_change_nothing(method):
    series = {(f"a/{n}", "m"): noise(n) for n in range(6)}
    series["a/4", "m"] = step(series["a/4", "m"], 7)
    series["a/2", "m"] = step(series["a/2", "m"], 5)
    names = {f"a/{n}": f"z_{9 - n}/x_y" for n in range(6)}
    plain = rank(method, view(series), threshold=0.0)
    shuffled = rank(method, view(dict(reversed(series.items()))), threshold=0.0)
    renamed = rank(
        method, view({(names[c], "q_m"): v for (c, _), v in series.items()}), threshold=0.0
    )
    assert shuffled == plain
    assert [each.component for each in renamed.candidates] == [
        names[each.component] for each in plain.candidates
    ]
    assert [e.score for e in renamed.candidates] == [e.score for e in plain.candidates]


def test_gaps_late_starts_and_empty_series_neither_crash_nor_win(method):
    gappy, late = step(noise(1), 9.0), noise(2)
    gappy[ALERT_S + 5 : ALERT_S + 12] = np.nan
    late[: ALERT_S + 2] = np.nan
    series = {
        ("a/gappy", "m"): gappy,
        ("a/late", "m"): late,
        ("a/empty", "m"): np.full(STEPS, np.nan),
        ("a/plain", "m"): noise(3),
    }
    assert [e.component for e in rank(method, view(series)).candidates] == ["a/gappy", "a/plain"]


def test_a_window_too_short_is_a_reason_and_no_ranking(method):
    case = view({("a/b", "m"): noise(1)})
    with pytest.raises(MethodError, match="normal window has 2 steps"):
        method.rank(case, Context(time_ns=12 * NS))
    with pytest.raises(MethodError, match="anomalous window has 2 steps"):
        method.rank(case, Context(time_ns=(STEPS - 2) * NS))


def test_without_a_time_the_incident_is_found(method):
    series = {(f"a/{n}", "m"): noise(n) for n in range(6)}
    for name in ("a/1", "a/3"):
        series[name, "m"][70:95] += 8.0
    ranking = method.rank(view(series), Context())
    assert abs(ranking.time_ns / NS - 70) <= 2
    assert {each.component for each in ranking.candidates[:2]} == {"a/1", "a/3"}


@pytest.mark.parametrize("options", [{"quantile": 0.4}, {"guard_s": -1}, {"horizon_s": 0}])
def test_an_option_out_of_range_is_refused(method, options):
    with pytest.raises(MethodError, match=next(iter(options))):
        rank(method, view({("a/b", "m"): noise(1)}), **options)


def test_the_registry_names_what_there_is():
    assert {"baro", "nsigma"} <= methods.available().keys()
    with pytest.raises(MethodError, match=r"no method 'baros'; there are .*baro, .*nsigma"):
        methods.get("baros")
    with pytest.raises(MethodError, match="has no option sigma"):
        methods.get("baro").check({"sigma": 3})
