# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run begins in a folder of its own, and is judged by what it left there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import experiment_run

Call = Callable[..., dict[str, Any]]
RUN = {
    "id": "cpu/run-01",
    "scenario": "cpu",
    "repetition": 1,
    "seed": 1,
    "fault": "F01",
    "sham": False,
    "target": "replica/llm-0",
    "confirm": None,
    "parameters": {},
    "load": {"rate_per_s": 2},
    "replicas": None,
    "warmup_s": 5,
    "steady_state_s": 15,
    "baseline_s": 50,
    "fault_s": 45,
    "recovery_s": 15,
}
PLAN = {
    "format": 1,
    "experiment": "first",
    "seed": 1,
    "order": "listed",
    "runs": [RUN],
    "notes": [],
}
APPLIED = "2026-11-25T04:00:00.000000000Z"


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "plan.json", PLAN)
    return tmp_path


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def module(step: str, **options: Any) -> dict[str, Any]:
        arguments = {"folder": str(folder), "run": "cpu/run-01", "step": step, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            experiment_run.main()
        return json.loads(capsys.readouterr().out)

    return module


def leave(folder: Path, breach: str) -> None:
    summary = {"interrupted": False, "slo": {"first_breach": {"time": breach}}}
    truth = {"outcome": "effective", "messages": [], "times": {"applied": APPLIED}}
    write(folder / "cpu/run-01/load/summary.json", summary)
    write(folder / "cpu/run-01/ground_truth.json", truth)


def test_a_run_begins_with_an_empty_folder(call: Call, folder: Path) -> None:
    first = call("begin")
    assert first["set_aside"] is None
    assert first["message"].startswith("Run 1 of 1: cpu/run-01 (F01 on replica/llm-0). 1 to do")
    leave(folder, APPLIED)
    second = call("begin", attempt=2)
    assert second["set_aside"] == str(folder / "quarantine/cpu/run-01.1")
    assert "An earlier attempt does not count: it was stopped." in second["message"]
    assert not (folder / "cpu/run-01/load").exists()


def test_a_run_that_may_be_its_faults_doing_counts(call: Call, folder: Path) -> None:
    call("begin")
    leave(folder, "2026-11-25T03:59:57.000000000Z")
    judged = call("judge", in_flight_s=4)
    assert (judged["contaminated"], judged["reason"], judged["set_aside"]) == (False, None, None)
    assert (folder / "cpu/run-01/load").exists()


def test_a_contaminated_run_is_set_aside_with_its_reason(call: Call, folder: Path) -> None:
    call("begin")
    leave(folder, "2026-11-25T03:59:50.000000000Z")
    judged = call("judge", in_flight_s=4)
    assert judged["contaminated"]
    assert "the client's SLO was broken at 2026-11-25T03:59:50" in judged["message"]
    note = json.loads((Path(judged["set_aside"]) / "quarantine.json").read_text())
    assert (note["run"], note["kind"]) == ("cpu/run-01", "contaminated")
    assert not (folder / "cpu/run-01").exists()


def test_a_run_of_which_no_case_can_be_made_is_set_aside(call: Call, folder: Path) -> None:
    call("begin")
    assert "reason" in call("discard")["msg"]
    discarded = call("discard", reason="no samples of cpu_usage_cores")
    assert discarded["contaminated"]
    assert discarded["set_aside"] == str(folder / "quarantine/cpu/run-01.1")
    assert "does not count: no samples of cpu_usage_cores." in discarded["message"]


def test_a_run_that_left_nothing_is_an_error(call: Call) -> None:
    call("begin")
    assert "the load did not end" in call("judge")["msg"]


def test_a_run_that_is_not_planned_is_an_error(call: Call, folder: Path) -> None:
    assert "the plan has no run 'other/run-01'" in call("begin", run="other/run-01")["msg"]
    (folder / "plan.json").unlink()
    assert "has no plan" in call("begin")["msg"]
