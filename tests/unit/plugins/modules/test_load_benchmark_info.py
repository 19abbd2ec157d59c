# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load has left, at each of its stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import load_benchmark_info


@pytest.fixture
def look(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], dict[str, Any]]:
    def go(dest: Path) -> dict[str, Any]:
        with patch_module_args({"dest": str(dest)}), pytest.raises(SystemExit):
            load_benchmark_info.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return go


def test_a_finished_load_has_its_figures(
    look: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "requests.jsonl").write_text("{}\n{}\n")
    summary = {"format": 1, "slo": {"attainment": 0.95}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    result = look(tmp_path)
    assert (result["changed"], result["finished"]) == (False, True)
    assert (result["summary"], result["records"]) == (summary, 2)
    assert result["summary_path"] == str(tmp_path / "summary.json")


def test_a_load_that_runs_has_its_requests_so_far(
    look: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    assert look(tmp_path)["records"] == 0
    (tmp_path / "requests.jsonl").write_text('{}\n{"index": 1')
    result = look(tmp_path)
    assert (result["finished"], result["summary"], result["records"]) == (False, None, 1)


def test_a_folder_that_is_not_there_is_one_message(
    look: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    result = look(tmp_path / "none")
    assert result["failed"] is True
    assert "give the dest of a load_benchmark" in result["msg"]


@pytest.mark.parametrize("text", ["{", '{"format": 2}', "[]"])
def test_what_is_no_summary_is_not_taken_for_one(
    look: Callable[[Path], dict[str, Any]], tmp_path: Path, text: str
) -> None:
    (tmp_path / "summary.json").write_text(text)
    result = look(tmp_path)
    assert result["failed"] is True
    assert "can't read what the load left" in result["msg"]
