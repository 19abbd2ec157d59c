# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo survives the disk, touches nothing but what it names, and can be done twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults import processes
from ansible_collections.rcalab.llm.plugins.module_utils.faults.cgroups import CpuCgroup, CpuLimit
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import (
    FaultError,
    NotRevertedError,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.undo import (
    ContinuePod,
    SetCpuLimit,
    Undo,
    know,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.undo_action import UndoAction


@dataclasses.dataclass(frozen=True)
class RemoveElsewhere(UndoAction):
    """Of a target that is not on this machine."""

    kind = "remove_elsewhere"
    outlives_boot = True
    file: str

    def restore(self) -> None:
        Path(self.file).unlink(missing_ok=True)

    def remainder(self) -> str | None:
        return f"{self.file} is there" if Path(self.file).exists() else None


@pytest.fixture
def undo(fake_cgroup: CpuCgroup) -> Undo:
    folder = str(fake_cgroup.cpu)
    limit = SetCpuLimit(fake_cgroup.version, folder, folder, None, 50_000)
    nobody = ContinuePod("rcalab-test", "nobody", ((999_999_999, 1),))
    return Undo(processes.boot_id(), processes.current(), "/results/truth.json", (limit, nobody))


def test_it_reads_back_as_written(undo: Undo) -> None:
    assert Undo.from_json(json.loads(json.dumps(undo.to_json()))) == undo


def test_it_restores_and_may_do_so_again(undo: Undo, fake_cgroup: CpuCgroup) -> None:
    fake_cgroup.set_limit(CpuLimit(1_000, 50_000))
    with pytest.raises(NotRevertedError, match="1000"):
        undo.verify()

    for check in (undo.verify, undo.verify):
        undo.restore()
        check()

    assert fake_cgroup.limit() == CpuLimit(None, 50_000)


def test_a_target_that_is_gone_needs_no_undo(undo: Undo, fake_cgroup: CpuCgroup) -> None:
    fake_cgroup.cpu.rename(fake_cgroup.cpu.with_name("gone"))

    undo.restore()
    undo.verify()


def test_a_restart_of_this_machine_undoes_nothing_on_another(undo: Undo, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere"
    file.touch()
    earlier = dataclasses.replace(
        undo, boot_id="another", actions=(*undo.actions, RemoveElsewhere(str(file)))
    )

    with pytest.raises(NotRevertedError, match="elsewhere is there"):
        earlier.verify()
    earlier.restore()
    earlier.verify()


def test_an_action_of_another_platform_is_read_once_it_is_known(undo: Undo) -> None:
    elsewhere = dataclasses.replace(undo, actions=(RemoveElsewhere("/nowhere"),))
    written = json.loads(json.dumps(elsewhere.to_json()))

    know(RemoveElsewhere)

    assert Undo.from_json(written) == elsewhere
    written["actions"][0]["kind"] = "never_known"
    with pytest.raises(FaultError, match="never_known"):
        Undo.from_json(written)


def test_a_restart_of_the_machine_undoes_everything(undo: Undo, fake_cgroup: CpuCgroup) -> None:
    fake_cgroup.set_limit(CpuLimit(1_000, 50_000))
    earlier = dataclasses.replace(undo, boot_id="another")

    earlier.restore()
    earlier.verify()

    assert fake_cgroup.limit() == CpuLimit(1_000, 50_000)


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "run", "command": "rm -rf /"},
        {"kind": "set_cpu_limit", "path": "/"},
    ],
)
def test_an_action_of_no_known_kind_is_not_done(undo: Undo, action: dict[str, object]) -> None:
    data = undo.to_json() | {"actions": [action]}

    with pytest.raises(FaultError, match="can't be read"):
        Undo.from_json(data)


def test_a_forged_path_is_not_written_to(undo: Undo, fake_cgroup: CpuCgroup) -> None:
    data = undo.to_json()
    data["actions"][0]["cpu"] = str(Path("/etc"))

    with pytest.raises(FaultError, match="which is no cgroup"):
        Undo.from_json(data)
