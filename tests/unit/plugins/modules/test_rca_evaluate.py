# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part, with a stand-in for rca_engine."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import rca_evaluate


class EngineError(Exception):
    """Plays the engine's base error."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    state = SimpleNamespace(asked=[], written=[])

    def evaluate(dataset: str, out: str, **asked: Any) -> SimpleNamespace:
        if dataset == "/none":
            raise EngineError("/none: no such data set")
        state.asked.append(asked)
        return SimpleNamespace(
            failures=["one"],
            left_out={"cpu/run-01": "its fault was aborted"},
            summary="summary",
            write=state.written.append,
        )

    def choose(names: list[str]) -> list[str]:
        if "magic" in names:
            raise EngineError("no method 'magic'")
        return ["baro", "nsigma"] if names == ["all"] else names

    stand_in = {
        "rca_methods": SimpleNamespace(choose=choose),
        "RCA_ENGINE_ERROR": None,
        "RcaEngineError": EngineError,
        "Options": SimpleNamespace,
        "evaluate": evaluate,
        "summary_lines": lambda summary: [summary],
    }
    for name, value in stand_in.items():
        monkeypatch.setattr(rca_evaluate, name, value, raising=False)
    return state


def run(params: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with patch_module_args({"out": "/out", **params}), pytest.raises(SystemExit):
        rca_evaluate.main()
    return json.loads(capsys.readouterr().out)


def test_it_evaluates_and_tells_what_failed(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run({"dataset": "/first", "methods": ["baro"], "seed": 3}, capsys)
    assert engine.written == ["/out"]
    assert engine.asked[0]["methods"] == ["baro"]
    assert engine.asked[0]["options"] == SimpleNamespace(time="alert", seed=3, budget_s=None)
    assert result["leaderboard"] == "/out/leaderboard.html"
    assert (result["failures"], result["table"]) == (1, ["summary"])
    assert result["left_out"] == {"cpu/run-01": "its fault was aborted"}


def test_no_method_named_is_all_of_them(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run({"dataset": "/first"}, capsys)["methods"] == ["baro", "nsigma"]
    assert engine.asked[0]["methods"] == ["baro", "nsigma"]


def test_check_mode_asks_nobody_and_knows_the_names(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    check = {"dataset": "/first", "_ansible_check_mode": True}
    assert run(check, capsys)["changed"]
    assert run({**check, "methods": ["magic"]}, capsys)["msg"] == "no method 'magic'"
    assert engine.asked == engine.written == []


def test_an_error_of_the_engine_is_the_modules(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run({"dataset": "/none"}, capsys)["msg"] == "/none: no such data set"


def test_a_missing_package_is_told_with_the_command(
    engine: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(rca_evaluate, "RCA_ENGINE_ERROR", "no such module")
    assert "-m pip install" in run({"dataset": "/first"}, capsys)["msg"]
