# SPDX-License-Identifier: Apache-2.0
"""What each method that reads metrics alone must get right, on good data and on bad."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from rca_engine import methods
from rca_engine.case import CaseView
from rca_engine.errors import CaseError, MethodError
from rca_engine.model import NS, Component, Edge, Topology, Window
from rca_engine.ranking import Context, Ranking

STEPS, ALERT_S = 240, 160
REAL = ["baro", "nsigma", "e_diagnosis", "rcd"]
CONTROLS = ["dummy", "constant_guess"]
Series = Mapping[tuple[str, str], np.ndarray]
TOLD = Context(time_ns=ALERT_S * NS)


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest) -> methods.Method:
    return methods.get(request.param)


@pytest.fixture(params=REAL + CONTROLS)
def method(request: pytest.FixtureRequest) -> methods.Method:
    return methods.get(request.param)


def long_table(series: Series) -> pd.DataFrame:
    times = pd.to_datetime(np.arange(STEPS) * NS, utc=True)
    parts = [
        pd.DataFrame({"timestamp": times, "component": component, "metric": name, "value": values})
        for (component, name), values in series.items()
    ]
    return pd.concat(parts).dropna()


def view(series: Series, topology: Topology | None = None) -> CaseView:
    topology = topology or Topology((), ())
    return CaseView(Window(0, STEPS * NS), 1.0, topology, {}, {"metrics": long_table(series)})


def healthy(count: int = 6, seed: int = 0) -> dict[tuple[str, str], np.ndarray]:
    rng = np.random.default_rng(seed)
    return {(f"service/{n}", "m"): rng.normal(10.0, 1.0, STEPS) for n in range(count)}


def shifted(values: np.ndarray, change: float) -> np.ndarray:
    return values + np.where(np.arange(STEPS) >= ALERT_S, change, 0.0)


def broken(change: float = 8.0) -> dict[tuple[str, str], np.ndarray]:
    series = healthy()
    series["service/3", "m"] = shifted(series["service/3", "m"], change)
    return series


def names(ranking: Ranking) -> list[str]:
    return [each.component for each in ranking.components()]


@pytest.mark.parametrize("change", [8.0, -8.0])
def test_what_rises_or_falls_is_first(real, change):
    ranking = real.rank(view(broken(change)), TOLD)
    assert names(ranking)[0] == "service/3"
    (first, evidence), *_ = ranking.metrics()
    assert (first.metric, evidence.direction) == ("m", "up" if change > 0 else "down")
    assert evidence.after - evidence.before == pytest.approx(change, abs=1.5)


def test_what_was_constant_before_is_first(real):
    series = healthy()
    series["gpu/0", "xid_errors"] = shifted(np.zeros(STEPS), 5.0)
    assert names(real.rank(view(series), TOLD))[0] == "gpu/0"


def test_nothing_unusual_is_no_fault_with_and_without_a_time(real):
    for seed in range(3):
        case = view(healthy(seed=seed))
        assert real.rank(case, TOLD).candidates == ()
        assert real.rank(case, Context()).candidates == ()


def test_without_a_time_the_incident_is_found(real):
    ranking = real.rank(view(broken()), Context())
    assert names(ranking)[0] == "service/3"
    assert abs(ranking.time_ns / NS - ALERT_S) <= 5


@pytest.mark.parametrize("late_s", [30, 60])
def test_a_late_alert_still_finds_it(real, late_s):
    ranking = real.rank(view(broken()), Context(time_ns=(ALERT_S + late_s) * NS))
    assert names(ranking)[0] == "service/3"


def test_order_and_names_of_columns_change_nothing(real):
    series = broken()
    series["service/1", "m"] = shifted(series["service/1", "m"], 4.0)
    other = {f"service/{n}": f"z_{9 - n}/x_y" for n in range(6)}
    plain = real.rank(view(series), TOLD)
    assert real.rank(view(dict(reversed(series.items()))), TOLD) == plain
    renamed = real.rank(view({(other[c], "q_m"): v for (c, _), v in series.items()}), TOLD)
    assert [(each.component, each.score) for each in renamed.candidates] == [
        (other[each.component], each.score) for each in plain.candidates
    ]


def test_units_change_nothing(real):
    series = broken()
    bytes_not_gib = {key: values * 2.0**30 for key, values in series.items()}
    assert names(real.rank(view(bytes_not_gib), TOLD)) == names(real.rank(view(series), TOLD))


def test_duplicated_columns_are_both_ranked_or_both_not(real):
    series = broken()
    series["service/twin", "m"] = series["service/3", "m"]
    ranked = names(real.rank(view(series), TOLD))
    assert ranked[0] in {"service/3", "service/twin"}
    if real.name != "rcd":  # a twin separates its twin from the failure
        assert set(ranked[:2]) == {"service/3", "service/twin"}


def bad_inputs() -> dict[str, dict[tuple[str, str], np.ndarray]]:
    late, gappy, ends = (healthy(1, seed)["service/0", "m"] for seed in (11, 12, 13))
    late[: ALERT_S + 5] = np.nan
    gappy[40:70] = gappy[ALERT_S + 3 : ALERT_S + 9] = np.nan
    ends[100:] = np.nan
    rare = np.full(STEPS, np.nan)
    rare[::37] = 1.0
    base = broken()
    return {
        "late, gappy, ending and empty series": base
        | {
            ("a_b/late_c", "m_x"): late,
            ("a/gappy", "m"): gappy,
            ("a/ends", "m"): ends,
            ("a/rare", "m"): rare,
            ("a/empty", "m"): np.full(STEPS, np.nan),
        },
        "constant series": base | {("a/zero", "m"): np.zeros(STEPS), ("a/b", "m"): np.ones(STEPS)},
        "infinite and huge values": base | {("a/huge", "m"): np.full(STEPS, 1e300)},
        "tiny values": base | {("a/tiny", "m"): healthy(1)["service/0", "m"] * 1e-300},
        "all series constant": {("a/b", "m"): np.zeros(STEPS), ("a/c", "m"): np.ones(STEPS)},
        "one series": {("service/3", "m"): base["service/3", "m"]},
        "all series late": {("a/late", "m"): late},
        "no series": {},
    }


@pytest.mark.parametrize("bad", bad_inputs())
@pytest.mark.parametrize("context", [TOLD, Context()], ids=["told", "not told"])
@pytest.mark.filterwarnings("error")
def test_bad_input_gives_a_ranking_or_a_reason(method, bad, context):
    series = bad_inputs()[bad] or {("a/empty", "m"): np.full(STEPS, np.nan)}
    try:
        ranking = method.rank(view(series), context)
    except MethodError:  # a reason; any other error fails the test
        return
    assert all(np.isfinite(each.score) for each in ranking.candidates)
    if "all" not in bad and bad != "no series" and method.name in REAL:
        assert names(ranking)[0] == "service/3"


def test_three_coarse_steps_of_an_incident_are_enough(real):
    keep = (np.arange(STEPS) < ALERT_S) | (np.arange(STEPS) >= STEPS - 3)
    series = {key: np.where(keep, values, np.nan) for key, values in broken(60.0).items()}
    table = long_table(series)
    table["timestamp"] = pd.to_datetime(table["timestamp"].astype("int64") * 300, utc=True)
    case = CaseView(Window(0, STEPS * 300 * NS), 300.0, Topology((), ()), {}, {"metrics": table})
    ranking = real.rank(case, Context(time_ns=(STEPS - 3) * 300 * NS))
    assert names(ranking)[0] == "service/3"


def test_infinite_values_count_as_unknown(real):
    series = broken()
    endless = series["service/1", "m"].copy()
    endless[ALERT_S + 5 : ALERT_S + 20] = np.inf
    series["service/1", "m"] = endless
    assert names(real.rank(view(series), TOLD))[0] == "service/3"


def test_two_values_at_one_time_are_refused(real):
    table = long_table(broken())
    case = CaseView(
        Window(0, STEPS * NS),
        1.0,
        Topology((), ()),
        {},
        {"metrics": pd.concat([table, table.iloc[:1]])},
    )
    with pytest.raises(CaseError, match="two values of service/0 m at 1970-01-01"):
        real.rank(case, TOLD)


@pytest.mark.parametrize("name", ["e_diagnosis", "rcd"])
@pytest.mark.parametrize("time_ns", [5 * NS, (STEPS - 2) * NS])
def test_a_window_too_short_is_a_reason(name, time_ns):
    with pytest.raises(MethodError, match="window has"):
        methods.get(name).rank(view(healthy()), Context(time_ns=time_ns))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("baro", {"detector": "crystal ball"}),
        ("baro", {"level_share": 1.0}),
        ("e_diagnosis", {"alpha": 0.0}),
        ("e_diagnosis", {"permutations": 5}),
        ("rcd", {"gamma": 1}),
        ("rcd", {"bins": 1}),
        ("rcd", {"runs": 0}),
        ("rcd", {"alpha": 2.0}),
    ],
)
def test_an_option_out_of_range_is_refused(name, options):
    with pytest.raises(MethodError, match=next(iter(options))):
        methods.get(name).rank(view(healthy()), TOLD, **options)


def test_the_seed_decides_the_random_order(method):
    case = view(broken())
    seeded = Context(time_ns=ALERT_S * NS, seed=5)
    assert method.rank(case, seeded) == method.rank(case, seeded)
    if method.name == "dummy":
        orders = {tuple(names(method.rank(case, Context(seed=seed)))) for seed in range(20)}
        assert len(orders) > 10


def test_controls_rank_all_and_say_that_they_did_not_look():
    edges = tuple(Edge("service/5", f"service/{n}", "calls") for n in range(3))
    topology = Topology((Component("node", "idle"),), edges)
    case = view(broken(), topology)
    everything = {*(f"service/{n}" for n in range(6)), "node/idle"}
    for name in CONTROLS:
        ranking = methods.get(name).rank(case, TOLD)
        assert set(names(ranking)) == everything
        assert "not looked at" in ranking.degraded
    assert names(methods.get("constant_guess").rank(case, TOLD))[0] == "service/5"
    assert methods.get("constant_guess").rank(view(healthy(), topology), TOLD).candidates == (
        methods.get("constant_guess").rank(case, TOLD).candidates
    )


def test_answers_do_not_depend_on_the_hash_seed():
    program = (
        "import numpy as np, pandas as pd\n"
        "from rca_engine import methods\n"
        "from rca_engine.case import CaseView\n"
        "from rca_engine.model import Topology, Window\n"
        "from rca_engine.ranking import Context\n"
        "x = np.random.default_rng(1).normal(10, 1, (200, 8)); x[120:, 3] += 6\n"
        "t = pd.to_datetime(np.arange(200) * 10**9, utc=True)\n"
        "m = pd.concat([pd.DataFrame({'timestamp': t, 'component': f's/{c}', 'metric': 'm',"
        " 'value': x[:, c]}) for c in range(8)])\n"
        "v = CaseView(Window(0, 200 * 10**9), 1.0, Topology((), ()), {}, {'metrics': m})\n"
        f"for n in {REAL + CONTROLS}:\n"
        "    print(methods.get(n).rank(v, Context(time_ns=120 * 10**9)).candidates)\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(answers) == 1
