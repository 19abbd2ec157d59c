# SPDX-License-Identifier: Apache-2.0
"""The methods of several sources: any subset, known culprits, text that nobody should trust."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from rca_engine import methods
from rca_engine.diagnosis import diagnose
from rca_engine.errors import MethodError
from rca_engine.model import NS
from rca_engine.ranking import Context, LogEvidence

NAMES = ("gated", "mmbaro", "pdiagnose", "simple_rca")
each_method = pytest.mark.parametrize("name", NAMES)


def order(ranking):
    return [each.component for each in ranking.components()]


def cart_fails(operation, after):
    if operation == "cart/add" and after:
        return ["Error: could not lock row 17"]
    return [f"did {operation} in 3 ms"]


@each_method
def test_a_metric_alone_finds_the_culprit_and_the_rest_is_told_missing(
    name, shop, told, quiet_metrics, raised
):
    key = ("service/db", "cpu")
    view = shop(metrics={**quiet_metrics, key: raised(quiet_metrics[key], 30.0)}).view("metrics")
    ranking = methods.get(name).rank(view, told)
    assert order(ranking)[0] == "service/db"
    assert ranking.degraded == "the case has no logs and no traces"
    assert ranking.metrics()[0][1].direction == "up"


@each_method
def test_errors_in_the_log_alone_find_the_culprit(name, shop, told):
    ranking = methods.get(name).rank(shop(says=cart_fails).view("logs"), told)
    assert order(ranking)[0] == "service/cart"
    assert ranking.degraded == "the case has no metrics and no traces"


@each_method
def test_traces_alone_find_the_culprit(name, shop, told):
    ranking = methods.get(name).rank(shop(slow={"cart": 8.0}).view("traces"), told)
    assert "service/cart" in order(ranking)[:2]


@pytest.mark.parametrize("name", ["gated", "mmbaro"])
def test_a_template_that_vanishes_without_any_error_is_found(name, shop, told):
    def says(operation, after):
        return [] if after and operation == "cart/add" else [f"did {operation} in 3 ms"]

    ranking = methods.get(name).rank(shop(says=says).view("logs"), told)
    assert order(ranking)[0] == "service/cart"
    assert ranking.components()[0].signals[0].after == 0


def test_lines_are_held_against_the_calls_of_their_operation_where_they_tell_their_span(shop, told):
    """The database writes other lines as users browse less; only the cart does otherwise."""

    def says(operation, after):
        if after and operation == "cart/add":
            return ["[SPAN] returned early"]
        return [f"[SPAN] did {operation}", f"[SPAN] {operation} is done"]

    made = shop(says=says)
    traces = made.table("traces")
    browsing = set(traces.loc[traces["name"] == "browse", "trace_id"])
    late = traces["start"] >= traces["start"].iloc[0] + np.timedelta64(180, "s")
    fewer = traces[~(late & traces["trace_id"].isin(browsing))]
    logs = made.table("logs")
    told_spans = logs["message"].str.extract(r"\[([0-9a-f]{16})\]")[0]
    logs = logs[told_spans.isin(fewer["span_id"])]
    ranking = methods.get("gated").rank(made.view(traces=fewer, logs=logs), told)
    first, second = ranking.components()[:2]
    assert first.component == "service/cart"
    assert first.score > 2 * second.score
    assert isinstance(first.signals[0], LogEvidence)


def test_gated_hears_the_source_that_is_surprised_and_no_other(shop, told, quiet_metrics, raised):
    key = ("service/db", "cpu")
    loud = {**quiet_metrics, key: raised(quiet_metrics[key], 40.0)}
    gated = methods.get("gated").rank
    assert order(gated(shop(metrics=loud).view("metrics", "logs", "traces"), told))[0] == key[0]
    calm = shop(metrics=quiet_metrics, says=cart_fails).view("metrics", "logs", "traces")
    assert order(gated(calm, told))[0] == "service/cart"


@pytest.mark.parametrize("seed", range(3))
def test_gated_finds_no_fault_in_a_quiet_time(seed, shop, told, quiet_metrics):
    view = shop(seed=seed, metrics=quiet_metrics).view("metrics", "logs", "traces")
    assert methods.get("gated").rank(view, told).candidates == ()


@pytest.mark.parametrize("name", ["pdiagnose", "simple_rca"])
@pytest.mark.parametrize("text", ["ERROR lost", "Request FAILED", "uncaught nullpointerException"])
def test_error_words_count_in_any_case(name, text, shop, told):
    def says(operation, after):
        return [text if after and operation == "cart/add" else "fine"]

    assert order(methods.get(name).rank(shop(says=says).view("logs"), told))[0] == "service/cart"


@pytest.mark.parametrize("name", ["pdiagnose", "simple_rca"])
def test_who_always_logs_errors_is_no_suspect(name, shop, told):
    def says(operation, after):
        if operation == "db/select":
            return ["error: nothing found", "error: nothing found"]
        return ["error: timed out" if after and operation == "cart/add" else "fine"]

    assert order(methods.get(name).rank(shop(says=says).view("logs"), told)) == ["service/cart"]


@each_method
def test_rows_in_another_order_change_nothing(name, shop, told, quiet_metrics, raised):
    key = ("service/db", "cpu")
    made = shop(says=cart_fails, metrics={**quiet_metrics, key: raised(quiet_metrics[key], 30.0)})
    tables = {each: made.table(each) for each in ("metrics", "logs", "traces")}
    mixed = {each: table.sample(frac=1.0, random_state=1) for each, table in tables.items()}
    rank = methods.get(name).rank
    assert rank(made.view(**mixed), told) == rank(made.view(**tables), told)


@each_method
def test_text_that_is_no_text_breaks_nothing(name, shop, told):
    odd = ["\x00\x1b[31m\x7f", "a" * 20_000, "", " \t\r\n", "{" * 5000, "\ud7ff￿ 🔥" * 9]

    def says(operation, after):
        return [odd[len(operation) % len(odd)], *cart_fails(operation, after), odd[0]]

    ranking = methods.get(name).rank(shop(says=says).view("logs"), told)
    assert order(ranking)[0] == "service/cart"


@each_method
def test_an_empty_case_is_a_reason_and_no_ranking(name, shop, told):
    with pytest.raises(MethodError, match="the case has n"):
        methods.get(name).rank(shop().view(), told)


@each_method
@pytest.mark.parametrize("time_s", [2, 239])
def test_an_alert_at_either_end_is_answered_or_refused_but_never_a_traceback(
    name, time_s, shop, quiet_metrics
):
    view = shop(metrics=quiet_metrics).view("metrics", "logs", "traces")
    refusal = None
    try:
        methods.get(name).rank(view, Context(time_ns=time_s * NS))
    except MethodError as error:
        refusal = str(error)
    assert refusal is None or "no telemetry" in refusal


@each_method
def test_a_simulated_case_is_diagnosed_from_all_its_sources(name, case):
    for time in ("alert", "none"):
        found = diagnose(case, name, time=time)
        assert found.ranking[0] == "replica/llm-0"
        assert (found.status, found.reason) == ("ok", None)


@each_method
def test_an_option_out_of_range_is_refused(name, shop, told):
    options = {
        "gated": {"threshold": -1.0},
        "mmbaro": {"quantile": 0.2},
        "pdiagnose": {"likelihood": 0.0},
        "simple_rca": {"slowdown": 1.0},
    }[name]
    with pytest.raises(MethodError, match=next(iter(options))):
        methods.get(name).rank(shop().view("logs"), told, **options)


def test_the_hash_seed_changes_nothing(case_dir):
    program = (
        "import json, sys; from rca_engine.diagnosis import diagnose; "
        "keep = lambda d: {k: v for k, v in d.to_json().items() if k != 'seconds'}; "
        f"print(json.dumps([keep(diagnose(sys.argv[1], n)) for n in {NAMES!r}]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, str(case_dir)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
