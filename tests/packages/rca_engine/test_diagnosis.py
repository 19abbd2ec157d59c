# SPDX-License-Identifier: Apache-2.0
"""One call from a case to an answer, and from a failure to its reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rca_engine import methods, schemas
from rca_engine.case import Case
from rca_engine.diagnosis import diagnose, ranking_lines
from rca_engine.errors import MethodError
from rca_engine.methods import Method
from rca_engine.ranking import Candidate, Ranking
from rca_engine.simulator import simulate


@pytest.mark.parametrize("method", ["baro", "nsigma"])
@pytest.mark.parametrize("time", ["alert", "none", "oracle"])
def test_the_starved_replica_is_first_however_the_time_is_told(case, method, time):
    diagnosis = diagnose(case, method, time=time)
    assert diagnosis.status == "ok"
    assert diagnosis.ranking[0] == "replica/llm-0"
    assert diagnosis.rank_of(case.truth) == 1
    told = {"alert": case.alert.time_ns, "oracle": case.truth.times["effect_first_seen"]}
    assert diagnosis.time_ns == told.get(time, diagnosis.time_ns)
    assert abs(diagnosis.time_ns - case.truth.times["effect_first_seen"]) < 10e9


def test_an_answer_is_written_explained_and_tabulated(case_dir):
    diagnosis = diagnose(case_dir)
    document = json.loads(diagnosis.write(case_dir).read_text())
    schemas.validate(document, "diagnosis", "baro.json")
    assert Case.load(case_dir).diagnoses() == {"baro": document}
    assert document["components"][0] == {
        "rank": 1, "component": "replica/llm-0", "score": document["metrics"][0]["score"]
    }  # fmt: skip
    frame = diagnosis.to_frame("metric")
    throttled = frame[frame["metric"] == "cpu_throttled_periods_rate"].iloc[0]
    assert (throttled["before"], throttled["direction"]) == (0.0, "up")
    assert "1. replica/llm-0" in diagnosis.explain()
    assert len(diagnosis.to_frame()) == len(diagnosis.ranking)


def test_without_an_alert_there_is_no_fault(tmp_path):
    case = Case.load(simulate(tmp_path / "sham", sham=True))
    diagnosis = diagnose(case)
    assert (diagnosis.status, diagnosis.ranking) == ("ok", ())
    assert "no fault found (the client's SLO was never broken)" in diagnosis.explain()
    assert diagnosis.rank_of(case.truth) is None
    with pytest.raises(MethodError, match="no true time to tell"):
        diagnose(case, time="oracle")


def register(monkeypatch: pytest.MonkeyPatch, rank: methods.Rank) -> None:
    broken = Method("broken", "", frozenset({"metrics"}), "", {}, rank)
    monkeypatch.setattr(methods, "available", lambda: {"broken": broken})


@pytest.mark.parametrize("error", [MethodError("too short"), ZeroDivisionError("by zero")])
def test_a_method_that_fails_has_a_reason_and_no_ranking(case, monkeypatch, error):
    def rank(*_args: object) -> Ranking:
        raise error

    register(monkeypatch, rank)
    diagnosis = diagnose(case, "broken")
    assert (diagnosis.status, diagnosis.ranking) == ("failed", ())
    assert str(error) in diagnosis.reason
    assert "failed" in diagnosis.explain()
    schemas.validate(diagnosis.to_json(), "diagnosis", "broken.json")
    assert not diagnosis.found_nothing


def test_a_method_that_had_to_do_without_or_took_too_long_is_degraded(case, monkeypatch):
    register(monkeypatch, lambda *_: Ranking((Candidate("a/b", 1.0),), degraded="no logs"))
    assert (diagnose(case, "broken").status, diagnose(case, "broken").reason) == (
        "degraded",
        "no logs",
    )
    register(monkeypatch, lambda *_: Ranking((Candidate("a/b", 1.0),)))
    assert diagnose(case, "broken", budget_s=0.0).status == "degraded"


def test_the_table_marks_the_truth_and_says_what_was_told(case):
    lines = ranking_lines(case, [diagnose(case, name) for name in ("baro", "nsigma")])
    assert lines[0].split() == ["rank", "baro", "nsigma"]
    assert lines[1].count("replica/llm-0 (truth)") == 2
    assert lines[-2] == "told: the time of the client's first SLO breach"
    assert lines[-1] == "truth: replica/llm-0 (F01 cpu_starvation, effective)"


def test_the_answer_does_not_depend_on_the_hash_seed(case):
    program = (
        "import sys, json; from rca_engine.diagnosis import diagnose\n"
        "d = [diagnose(sys.argv[1], m, time=t).to_json() for m in ('baro', 'nsigma')"
        " for t in ('alert', 'none')]\n"
        "print(json.dumps([{**each, 'seconds': 0} for each in d]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, str(case.path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(answers) == 1
