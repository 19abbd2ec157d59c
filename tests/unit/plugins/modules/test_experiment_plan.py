# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan is kept once, and every run is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import experiment_plan

Call = Callable[..., dict[str, Any]]


def plan(*scenarios: str, seed: int = 1) -> dict[str, Any]:
    run = {
        "repetition": 1,
        "seed": 1,
        "fault": None,
        "sham": False,
        "target": None,
        "confirm": None,
        "parameters": {},
        "load": {"rate_per_s": 2},
        "replicas": None,
        "warmup_s": 5,
        "steady_state_s": 15,
        "baseline_s": 50,
        "fault_s": 0,
        "recovery_s": 0,
    }
    return {
        "format": 1,
        "experiment": "first",
        "seed": seed,
        "order": "listed",
        "runs": [{**run, "id": f"{name}/run-01", "scenario": name} for name in scenarios],
        "notes": ["not run with 4 replicas"],
    }


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def module(**options: Any) -> dict[str, Any]:
        arguments = {"folder": str(tmp_path / "first"), "plan": plan("a", "b"), **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            experiment_plan.main()
        return json.loads(capsys.readouterr().out)

    return module


def test_a_plan_is_kept_once(call: Call, tmp_path: Path) -> None:
    first, second = call(), call()
    assert (first["changed"], second["changed"]) == (True, False)
    assert json.loads((tmp_path / "first" / "plan.json").read_text()) == plan("a", "b")
    assert [(run["id"], run["state"]) for run in second["runs"]] == [
        ("a/run-01", "todo"),
        ("b/run-01", "todo"),
    ]
    assert second["seconds_left"] == 2 * (70 + 25)
    assert "not run with 4 replicas" in second["lines"]


def test_check_mode_keeps_nothing(call: Call, tmp_path: Path) -> None:
    assert call(_ansible_check_mode=True)["changed"]
    assert not (tmp_path / "first").exists()


def test_a_half_run_is_seen(call: Call, tmp_path: Path) -> None:
    (tmp_path / "first/a/run-01/load").mkdir(parents=True)
    assert [run["state"] for run in call()["runs"]] == ["half", "todo"]


def test_another_plan_is_refused(call: Call, tmp_path: Path) -> None:
    call()
    (tmp_path / "first/a/run-01").mkdir(parents=True)
    message = call(plan=plan("a", "b", seed=2))["msg"]
    assert "holds another plan: its seed is 1, and now 2" in message


def test_what_is_no_plan_is_refused(call: Call) -> None:
    assert "not a plan" in call(plan={"format": 1})["msg"]
