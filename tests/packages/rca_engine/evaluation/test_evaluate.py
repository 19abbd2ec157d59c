# SPDX-License-Identifier: Apache-2.0
"""An evaluation: what it counts, that it goes on after a kill, and that nothing can end it."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from rca_engine import Options, evaluate, methods
from rca_engine.case import Case
from rca_engine.errors import CaseError, MethodError, RcaEngineError
from rca_engine.evaluation import execute, plan
from rca_engine.evaluation.evaluate import Evaluation
from rca_engine.evaluation.store import Store
from rca_engine.evaluation.work import work

from .conftest import deadly, right

pytestmark = pytest.mark.slow

COSTS = ["seconds", "cpu_seconds", "memory_mib"]


@pytest.fixture
def here(monkeypatch, known_methods):
    """Do the work in this process, where the test's methods are."""

    def local(tasks, workers, store):
        for task in tasks:
            yield work(task, store)

    monkeypatch.setattr(execute, "local", local)


def board(evaluation: Evaluation, **chosen) -> pd.Series:
    rows = evaluation.summary
    for key, value in {"level": "component", "fault": "*", **chosen}.items():
        if value in set(rows[key]) or key != "fault":
            rows = rows[rows[key] == value]
    assert len(rows) == 1, rows
    return rows.iloc[0]


def test_a_method_that_is_right_beats_chance_and_one_that_is_silent_scores_nothing(
    here, dataset, tmp_path
):
    case = Case.load(next(dataset.rglob("case.json")).parent)
    components = len(case.topology.components)
    evaluation = evaluate(dataset, tmp_path, methods=["right", "silent"])
    good, quiet = (board(evaluation, method=name, fault="F01") for name in ("right", "silent"))
    assert good["ac1"] == good["avg5"] == good["mrr"] == 1.0
    assert good["cases"] == 2
    assert good["chance_ac1"] == pytest.approx(1 / components)
    assert good["lift_avg5"] == pytest.approx(components / 3)
    assert quiet["ac5"] == 0.0


def test_specificity_is_how_often_nothing_was_said_where_nothing_was(here, dataset, tmp_path):
    evaluation = evaluate(dataset, tmp_path, methods=["right", "silent"])
    good, quiet = (board(evaluation, method=name, fault="*") for name in ("right", "silent"))
    assert good["specificity"] == good["specificity_untold"] == 0.0
    assert quiet["specificity"] == quiet["specificity_untold"] == 1.0
    # The normal parts of two cases, and the sham.
    assert quiet["specificity_cases"] == 3


def test_ties_can_not_earn_a_hit_by_their_order(here, dataset, tmp_path):
    row = board(evaluate(dataset, tmp_path, methods=["tied"]), method="tied", fault="F01")
    assert row["ac1"] == pytest.approx(0.25)
    assert row["ac3"] == pytest.approx(0.75)
    assert row["ac5"] == 1.0


def test_a_method_that_ranks_components_only_has_no_row_by_metric(here, dataset, tmp_path):
    evaluation = evaluate(dataset, tmp_path, methods=["right", "unfit"])
    assert set(evaluation.summary["level"]) == {"component"}


@pytest.mark.parametrize(
    ("name", "reason"), [("broken", "RuntimeError: not foreseen"), ("unfit", "has no traces")]
)
def test_failures_count_0_and_are_listed_with_their_reason(here, dataset, tmp_path, name, reason):
    evaluation = evaluate(dataset, tmp_path, methods=[name, "right"])
    row = board(evaluation, method=name, fault="F01")
    assert (row["failed"], row["ac5"], row["specificity"]) == (2, 0.0, 0.0)
    assert evaluation.failures["reason"].str.contains(reason).all()
    assert board(evaluation, method="right", fault="F01")["ac1"] == 1.0


def test_over_budget_is_degraded_and_still_counts(here, dataset, tmp_path):
    evaluation = evaluate(
        dataset, tmp_path, methods=["right"], options=Options(budget_s=0.0, specificity=False)
    )
    row = board(evaluation, method="right", fault="F01")
    assert (row["degraded"], row["ac1"]) == (2, 1.0)


def test_a_case_whose_truth_nobody_knows_is_left_out_and_told(here, dataset, tmp_path, case_dir):
    (case_dir / "ground_truth.json").unlink()
    evaluation = evaluate(case_dir.parent, tmp_path / "out", methods=["right"])
    assert evaluation.left_out == {"run-01": "nobody knows its truth"}
    assert evaluation.summary.empty
    assert (evaluation.write(tmp_path / "out") / "leaderboard.html").is_file()


@pytest.mark.parametrize("table", ["metrics", "logs"])
def test_a_broken_case_fails_its_runs_and_no_other(here, case_dir, tmp_path, table, monkeypatch):
    root = case_dir.parent
    (case_dir / f"{table}.parquet").write_bytes(b"no parquet")
    reads = methods.Method("right", "", frozenset({"metrics", "logs"}), "", {}, right)
    monkeypatch.setitem(methods.available(), "right", reads)
    evaluation = evaluate(root, tmp_path / "out", methods=["right"])
    assert evaluation.failures["reason"].str.contains("the case can't be read").all()
    assert len(evaluation.runs) == 3


def test_the_same_call_again_runs_nothing(here, dataset, tmp_path, monkeypatch):
    first = evaluate(dataset, tmp_path, methods=["drawn"])

    def never(*_):
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr(execute, "local", never)
    second = evaluate(dataset, tmp_path, methods=["drawn"])
    pd.testing.assert_frame_equal(first.runs, second.runs)
    pd.testing.assert_frame_equal(first.summary, second.summary)


def test_after_a_kill_only_what_is_missing_runs(here, dataset, tmp_path, monkeypatch):
    whole = evaluate(dataset, tmp_path, methods=["drawn", "right"])
    kept = sorted((tmp_path / "results").rglob("*.json"))
    kept[0].unlink()
    kept[3].write_text("{ half a", encoding="utf-8")
    done = []

    def local(tasks, workers, store):
        for task in tasks:
            results = work(task, store)
            done.extend(key for key, _ in results)
            yield results

    monkeypatch.setattr(execute, "local", local)
    again = evaluate(dataset, tmp_path, methods=["drawn", "right"])
    assert {kept[0].stem, kept[3].stem} <= set(done)
    assert len(done) < len(kept)
    pd.testing.assert_frame_equal(whole.runs.drop(columns=COSTS), again.runs.drop(columns=COSTS))


@pytest.mark.parametrize(
    "change",
    [
        {"options": Options(seed=1)},
        {"options": Options(time="none")},
        {"options": Options(budget_s=9.0)},
    ],
)
def test_another_question_is_another_result(here, dataset, tmp_path, change):
    evaluate(dataset, tmp_path, methods=["right"])
    before = len(list((tmp_path / "results").rglob("*.json")))
    evaluate(dataset, tmp_path, methods=["right"], **change)
    assert len(list((tmp_path / "results").rglob("*.json"))) > before


def test_changed_data_are_another_data_set(case_dir, tmp_path):
    before = plan.data_fingerprint(case_dir, tmp_path / "out")
    (case_dir / "diagnosis").mkdir()
    (case_dir / "diagnosis" / "baro.json").write_text("{}", encoding="utf-8")
    assert plan.data_fingerprint(case_dir, tmp_path / "out") == before
    (case_dir / "metrics.parquet").touch()
    assert plan.data_fingerprint(case_dir, tmp_path / "out") != before


def test_a_late_time_is_told_late(here, dataset, tmp_path, monkeypatch):
    told = []

    def listening(case, context):
        told.append(context.time_ns)
        return methods.Ranking(())

    monkeypatch.setitem(
        methods.available(),
        "right",
        methods.Method("right", "", frozenset({"metrics"}), "", {}, listening),
    )
    evaluate(
        dataset / "cpu" / "run-01",
        tmp_path,
        methods=["right"],
        options=Options(time="oracle", late_s=(0, 30), specificity=False),
    )
    assert told[1] - told[0] == 30 * 10**9


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": ["rigth"]}, MethodError, "no method 'rigth'"),
        ({"format": "parquet"}, CaseError, "no format 'parquet'"),
        ({"workers": 0}, RcaEngineError, "at least 1"),
        (
            {"options": Options(method_options={"right": {"depth": 3}})},
            MethodError,
            "has no option depth",
        ),
    ],
)
def test_a_wrong_question_is_an_error_at_once(
    known_methods, dataset, tmp_path, arguments, error, message
):
    with pytest.raises(error, match=message):
        evaluate(dataset, tmp_path, **{"methods": ["right"], **arguments})


def test_everything_is_written_and_names_are_escaped(here, dataset, tmp_path, monkeypatch):
    evil = "<script>alert(1)</script>"
    monkeypatch.setitem(
        methods.available(),
        evil,
        methods.Method(evil, "", frozenset({"metrics"}), "", {}, methods.get("right").rank),
    )
    out = evaluate(dataset, tmp_path, methods=[evil, "broken"]).write(tmp_path)
    page = (out / "leaderboard.html").read_text(encoding="utf-8")
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert "not foreseen" in page
    runs = pd.read_parquet(out / "runs.parquet")
    assert len(runs) == len(pd.read_csv(out / "runs.csv")) == 18
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["rows"]) == len(pd.read_parquet(out / "summary.parquet"))
    assert summary["time_source"] == "alert"


def test_one_worker_and_two_give_the_same(dataset, tmp_path):
    names = sorted(methods.available())[:2]
    one, two = (
        evaluate(dataset, tmp_path / str(workers), methods=names, workers=workers)
        for workers in (1, 2)
    )
    pd.testing.assert_frame_equal(one.runs.drop(columns=COSTS), two.runs.drop(columns=COSTS))
    dear = [name for name in one.summary.columns if "seconds" in name or "memory" in name]
    pd.testing.assert_frame_equal(one.summary.drop(columns=dear), two.summary.drop(columns=dear))


def test_a_run_that_kills_its_worker_fails_alone(dataset, tmp_path):
    name = next(iter(methods.available()))
    [task, *_] = plan.plan(dataset, "case", [name], Options(specificity=False), tmp_path)
    store = Store(tmp_path / "results")

    class Deadly:
        """An entry whose case can't be read without dying."""

        def __call__(self):
            return deadly(None, None)

    doomed = plan.Task(plan.Entry(task.entry.case_id, "s", "f", Deadly()), "f" * 32, task.runs)
    results = [each for part in execute.local([doomed, task], 1, store) for each in part]
    by_status = {(document.get("system"), document.get("status")) for _, document in results}
    assert ("s", "failed") in by_status
    assert ("simulated", "ok") in by_status


def test_ray_gives_what_the_local_pool_gives(dataset, tmp_path):
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    name = next(iter(methods.available()))
    options = Options(specificity=False)
    local = evaluate(dataset, tmp_path / "local", methods=[name], options=options, workers=1)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        spread = evaluate(
            dataset, tmp_path / "ray", methods=[name], options=options, executor="ray", workers=2
        )
    finally:
        ray.shutdown()
    pd.testing.assert_frame_equal(local.runs.drop(columns=COSTS), spread.runs.drop(columns=COSTS))
