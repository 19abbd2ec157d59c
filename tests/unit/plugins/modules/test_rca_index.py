# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part, with a stand-in for rca_engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import rca_index


class EngineError(Exception):
    """Plays the engine's base error."""


def write_index(folder: Path) -> Path:
    if folder == Path("/none"):
        raise EngineError("/none: no experiment here")
    return folder / "index.html"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = {
        "RCA_ENGINE_ERROR": None,
        "RcaEngineError": EngineError,
        "write_index": write_index,
    }
    for name, value in stand_in.items():
        monkeypatch.setattr(rca_index, name, value, raising=False)


def run(params: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        rca_index.main()
    return json.loads(capsys.readouterr().out)


def test_it_tells_where_the_page_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"folder": "/first"}, capsys)["index"] == "/first/index.html"


def test_check_mode_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"folder": "/none", "_ansible_check_mode": True}, capsys)["changed"]


def test_an_error_of_the_engine_is_the_modules(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"folder": "/none"}, capsys)["msg"] == "/none: no experiment here"


def test_a_missing_package_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rca_index, "RCA_ENGINE_ERROR", "no such module")
    assert "-m pip install" in run({"folder": "/first"}, capsys)["msg"]
