# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part, with a stand-in for rca_engine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import rca_diagnose


class EngineError(Exception):
    """Plays the engine's base error."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put a stand-in in the engine's place; ``failing`` names the methods that fail."""
    state = SimpleNamespace(failing=set(), written=[], told=[])

    def load(path: str) -> SimpleNamespace:
        if path == "/none":
            raise EngineError("/none: no case here")
        truth = SimpleNamespace(root_causes={"replica/llm-0": ()})
        return SimpleNamespace(path=Path(path), truth=truth)

    def diagnose(case: Any, name: str, **told: Any) -> SimpleNamespace:
        state.told.append((name, told))
        failed = name in state.failing
        return SimpleNamespace(
            method=name,
            status="failed" if failed else "ok",
            reason="too short" if failed else None,
            ranking=() if failed else ("replica/llm-0", "head/ray"),
            rank_of=lambda _truth: None if failed else 1,
            write=lambda _path: state.written.append(name),
        )

    stand_in = {
        "RCA_ENGINE_ERROR": None,
        "RcaEngineError": EngineError,
        "Case": SimpleNamespace(load=load),
        "Diagnosis": SimpleNamespace,
        "diagnose": diagnose,
        "ranking_lines": lambda _case, answers: [each.method for each in answers],
        "rca_methods": SimpleNamespace(choose=lambda names: names or ["baro", "nsigma"]),
        "write_report": lambda path: path / "report.html",
    }
    for name, value in stand_in.items():
        monkeypatch.setattr(rca_diagnose, name, value, raising=False)
    return state


def run(params: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with patch_module_args({"case": "/run-01", **params}), pytest.raises(SystemExit):
        rca_diagnose.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_the_methods_answer_and_are_compared_with_the_truth(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run({"report": True, "seed": 3}, capsys)
    assert result["diagnoses"]["baro"] == {
        "status": "ok",
        "reason": None,
        "ranking": ["replica/llm-0", "head/ray"],
        "rank_of_truth": 1,
        "path": "/run-01/diagnosis/baro.json",
    }
    assert result["truth"] == ["replica/llm-0"]
    assert result["table"] == ["baro", "nsigma"]
    assert result["report"] == "/run-01/report.html"
    assert engine.written == ["baro", "nsigma"]
    assert engine.told[0] == ("baro", {"time": "alert", "seed": 3, "budget_s": None})


def test_check_mode_answers_and_writes_nothing(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run({"report": True, "methods": ["baro"], "_ansible_check_mode": True}, capsys)
    assert list(result["diagnoses"]) == ["baro"]
    assert engine.written == []
    assert "report" not in result


def test_one_method_that_fails_is_a_warning_and_all_are_a_failure(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.failing = {"baro"}
    result = run({}, capsys)
    assert "baro: too short" in str(result["warnings"])
    assert result["diagnoses"]["baro"]["rank_of_truth"] is None
    engine.failing = {"baro", "nsigma"}
    result = run({}, capsys)
    assert result["failed"] is True
    assert result["msg"] == "every method failed. baro: too short; nsigma: too short"


def test_what_the_engine_refuses_is_one_message(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run({"case": "/none"}, capsys)
    assert (result["failed"], result["msg"]) == (True, "/none: no case here")


def test_without_the_package_the_message_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rca_diagnose, "RCA_ENGINE_ERROR", "Traceback")
    assert "-m pip install" in run({}, capsys)["msg"]
