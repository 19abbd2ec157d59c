# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both versions of cgroup give the same answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults.cgroups import (
    CpuCgroup,
    CpuLimit,
    CpuStat,
    cpu_cgroup,
    is_cgroup_path,
)


def test_a_limit_is_set_and_lifted_and_its_period_kept(fake_cgroup: CpuCgroup) -> None:
    unlimited = fake_cgroup.limit()
    assert unlimited == CpuLimit(None, 50_000)

    fake_cgroup.set_limit(CpuLimit(10_000, 50_000))
    assert fake_cgroup.limit() == CpuLimit(10_000, 50_000)
    assert fake_cgroup.limit().cores == pytest.approx(0.2)

    fake_cgroup.set_limit(unlimited)
    assert fake_cgroup.limit() == unlimited


def test_what_is_written_is_what_the_kernel_reads(fake_cgroup: CpuCgroup) -> None:
    fake_cgroup.set_limit(CpuLimit(10_000, 50_000))
    limited = fake_cgroup.limit_file.read_text()
    fake_cgroup.set_limit(CpuLimit(None, 50_000))
    free = fake_cgroup.limit_file.read_text()

    expected = {1: ("10000\n", "-1\n"), 2: ("10000 50000\n", "max 50000\n")}
    assert (limited, free) == expected[fake_cgroup.version]


def test_counters_are_in_seconds(fake_cgroup: CpuCgroup) -> None:
    assert fake_cgroup.stat() == CpuStat(2.5, periods=7, throttled_periods=3, throttled_s=1.5)


def test_processes_of_cgroups_below_count(fake_cgroup: CpuCgroup) -> None:
    below = fake_cgroup.cpu / "worker"
    below.mkdir()
    (below / "cgroup.procs").write_text("1\n")

    assert fake_cgroup.pids() == [1, os.getpid()]


def test_only_a_path_below_a_hierarchy_is_a_cgroup(fake_cgroup: CpuCgroup) -> None:
    root = fake_cgroup.cpu.parents[1]

    assert is_cgroup_path(fake_cgroup.cpu)
    assert not is_cgroup_path(root)
    assert not is_cgroup_path(root / "rcalab" / ".." / "system")
    assert not is_cgroup_path(Path("/etc"))
    assert not is_cgroup_path(Path("rcalab/replica-0"))


def test_an_unknown_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="neither 1 nor 2"):
        cpu_cgroup(3, Path("/x"), Path("/x"))
