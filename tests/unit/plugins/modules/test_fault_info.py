# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as the installed agent tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.module_utils import faults
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp
from ansible_collections.rcalab.llm.plugins.modules import fault_info


def test_it_lists_the_agents_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(build_zipapp(Path(faults.__file__).parent, "faults.cli:main"))

    with patch_module_args({"agent_path": str(agent)}), pytest.raises(SystemExit):
        fault_info.main()

    result = json.loads(capsys.readouterr().out)
    assert not result["changed"]
    assert [fault["id"] for fault in result["faults"]][:2] == ["F00", "F01"]
