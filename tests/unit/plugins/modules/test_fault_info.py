# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as the installed agent tells it, and what a lab has for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.module_utils import faults
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp
from ansible_collections.rcalab.llm.plugins.modules import fault_info


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(build_zipapp(Path(faults.__file__).parent, "faults.cli:main"))

    def call(**options: object) -> dict[str, Any]:
        with patch_module_args({"agent_path": str(agent), **options}), pytest.raises(SystemExit):
            fault_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_it_lists_the_agents_faults(run: Callable[..., dict[str, Any]]) -> None:
    result = run()

    assert not result["changed"]
    assert [fault["id"] for fault in result["faults"]][:2] == ["F00", "F01"]
    assert "components" not in result


def test_it_lists_what_they_can_be_done_to(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    pod = {
        "name": "replica-0",
        "component": "replica/llm-0",
        "address": "127.0.0.1",
        "netns": None,
        "interface": None,
        "cgroup": None,
    }
    lab = {"format": 1, "lab": "test", "isolation": "none", "pods": [pod]}
    (tmp_path / "pods.json").write_text(json.dumps(lab))

    assert run(pods_file=str(tmp_path / "pods.json"))["components"] == {"replica/llm-0": None}


def test_a_lab_that_cannot_be_read_is_said(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    result = run(pods_file=str(tmp_path / "none.json"))

    assert "the agent can't list its components: refused: " in result["msg"]
