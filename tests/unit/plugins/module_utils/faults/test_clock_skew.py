# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F32: a pod that does not answer after the revert is not taken for one that is as it was."""

from __future__ import annotations

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults import web
from ansible_collections.rcalab.llm.plugins.module_utils.faults.catalogue.f32_clock_skew import (
    ClockSkew,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import NotRevertedError
from ansible_collections.rcalab.llm.plugins.module_utils.faults.processes import current
from ansible_collections.rcalab.llm.plugins.module_utils.faults.undo import Undo

from .conftest import target_of


def test_a_silent_pod_is_not_called_reverted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> str:
        raise OSError(f"{url} answers nobody")

    fault = ClockSkew(target_of(ClockSkew, None), {"offset_s": 60})
    fault._seen = True
    monkeypatch.setattr(web, "date", refuse)

    with pytest.raises(NotRevertedError, match="does not tell its time"):
        fault.verify_reverted(Undo(boot_id="", runner=current(), truth_path=None, actions=()))
