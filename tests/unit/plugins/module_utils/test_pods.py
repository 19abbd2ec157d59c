# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods touch nothing but their lab's own cgroups, devices and processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils import _pods as host
from ansible_collections.rcalab.llm.plugins.module_utils.faults import processes

Start = Callable[[str], processes.Process]
ENDLESS = "import time; print('up', flush=True); time.sleep(30)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {ENDLESS}"


@pytest.fixture(params=[1, 2])
def cgroup_root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The root of the cgroups of either version, made of plain files."""
    monkeypatch.setattr(host, "CGROUP_ROOT", tmp_path)
    if request.param == 1:
        for controller in (*host.CONTROLLERS, host.IO_V1):
            (tmp_path / controller).mkdir()
    else:
        (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    return tmp_path


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python programs that end with the test at the latest."""
    started: list[subprocess.Popen[bytes]] = []

    def call(program: str) -> processes.Process:
        started.append(subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == b"up\n"
        found = processes.identify(started[-1].pid)
        assert found is not None
        return found

    yield call
    for process in started:
        process.kill()
        process.communicate()


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a", "a/b", "/rcalab", "Lab", "a-b", "elevenchars"]
)
def test_a_name_that_could_mean_another_folder_is_refused(name: str) -> None:
    with pytest.raises(host.PodError, match="no lab's name"):
        host.check_lab_name(name)


# --- cgroups -------------------------------------------------------------------------------------


def test_a_cgroup_is_made_once(cgroup_root: Path) -> None:
    assert host.make_cgroup("rcalab", "pods/replica-0", check=False)
    assert not host.make_cgroup("rcalab", "pods/replica-0", check=False)
    paths = host.cgroup_paths("rcalab", "pods/replica-0")
    assert all(Path(paths[controller]).is_dir() for controller in host.CONTROLLERS)


def test_check_mode_makes_no_cgroup(cgroup_root: Path) -> None:
    before = folders(cgroup_root)
    assert host.make_cgroup("rcalab", "observers", check=True)
    assert folders(cgroup_root) == before


@pytest.mark.parametrize("cgroup_root", [2], indirect=True)
def test_controllers_are_handed_down_to_a_pod_and_no_further(cgroup_root: Path) -> None:
    host.make_cgroup("rcalab", "pods/replica-0", check=False)
    handed = {path.parent for path in cgroup_root.rglob("cgroup.subtree_control")}
    assert handed == {cgroup_root, cgroup_root / "rcalab", cgroup_root / "rcalab/pods"}


@pytest.mark.parametrize("cgroup_root", [2], indirect=True)
def test_a_container_without_controllers_is_told_what_to_do(cgroup_root: Path) -> None:
    (cgroup_root / "cgroup.subtree_control").mkdir()  # a write to it fails, as in a container
    with pytest.raises(host.PodError, match="lab_isolation: none"):
        host.make_cgroup("rcalab", "observers", check=False)


@pytest.mark.parametrize("cgroup_root", [1], indirect=True)
def test_a_missing_controller_is_named(cgroup_root: Path) -> None:
    (cgroup_root / "freezer").rmdir()
    with pytest.raises(host.PodError, match="freezer are not mounted"):
        host.cgroup_paths("rcalab", "observers")


def test_a_weight_is_set_once(cgroup_root: Path) -> None:
    host.make_cgroup("rcalab", "pods", check=False)
    assert host.weigh("rcalab", "pods", 2048, 200, check=True)
    assert host.weigh("rcalab", "pods", 2048, 200, check=False)
    assert not host.weigh("rcalab", "pods", 2048, 200, check=False)


def test_the_cgroups_of_a_lab_are_found_and_removed(cgroup_root: Path) -> None:
    for name in ("observers", "pods/replica-0", "pods/replica-1"):
        host.make_cgroup("rcalab", name, check=False)
        host.make_cgroup("other", name, check=False)
    for file in cgroup_root.rglob("cgroup.subtree_control"):
        file.unlink()  # the kernel's files go with their cgroup

    host.remove_cgroups(host.lab_cgroups("rcalab"))

    left = folders(cgroup_root)
    assert not any("rcalab" in folder for folder in left)
    assert any(folder.endswith("other/pods/replica-1") for folder in left)


def test_a_cgroup_of_that_name_which_no_lab_made_is_left_alone(cgroup_root: Path) -> None:
    for controller in (".", *host.CONTROLLERS):
        (cgroup_root / controller / "docker" / "container").mkdir(parents=True)
    assert host.lab_cgroups("docker") == []
    assert host.lab_cgroups("cpu") == []


@pytest.mark.parametrize("cgroup_root", [1], indirect=True)
def test_controllers_that_share_a_hierarchy_are_removed_once(cgroup_root: Path) -> None:
    (cgroup_root / "cpuacct").rmdir()
    (cgroup_root / "cpuacct").symlink_to("cpu")
    host.make_cgroup("rcalab", "pods/replica-0", check=False)
    found = host.lab_cgroups("rcalab")
    assert len(found) == len({path.resolve() for path in found})
    host.remove_cgroups(found)


def test_a_cgroup_that_stays_is_named(cgroup_root: Path) -> None:
    host.make_cgroup("rcalab", "observers", check=False)
    stuck = host.lab_cgroups("rcalab")[0]
    (stuck / "file").touch()
    with pytest.raises(host.PodError, match=str(stuck)):
        host.remove_cgroups([stuck], timeout_s=0.1)


# --- processes -----------------------------------------------------------------------------------


def test_a_process_that_ignores_sigterm_is_killed(start: Start) -> None:
    process = start(STUBBORN)
    assert host.end_processes(lambda: {process}, timeout_s=2) == 1
    assert not processes.is_alive(process)


def test_a_stopped_process_is_ended(start: Start) -> None:
    process = start(ENDLESS)
    os.kill(process.pid, signal.SIGSTOP)
    assert host.end_processes(lambda: {process}, timeout_s=4) == 1
    assert not processes.is_alive(process)


def test_this_process_and_those_it_comes_from_are_spared(start: Start) -> None:
    family = {processes.identify(pid) for pid in processes.ancestors(os.getpid())}
    child = start(ENDLESS)
    assert host.end_processes(lambda: {*family, child} - {None}, timeout_s=4) == 1


def test_what_was_found_once_is_ended_though_it_is_not_found_again(start: Start) -> None:
    stubborn = start(STUBBORN)
    answers = iter([{stubborn}])
    assert host.end_processes(lambda: next(answers, set()), timeout_s=2) == 1
    assert not processes.is_alive(stubborn)


# --- network -------------------------------------------------------------------------------------


def link(name: str, address: str, **more: Any) -> dict[str, dict[str, Any]]:
    return {name: {"ifname": name, "addr_info": [{"local": address}], **more}}


@pytest.mark.parametrize(
    ("present", "advice"),
    [
        (link("rcalab0", "10.77.0.1"), "set lab_bridge"),
        (link("eth1", "10.77.0.9"), "set lab_network"),
        (link("rcalab0", "10.78.0.1", ifalias=host.owner("rcalab")), "run lab_down"),
    ],
)
def test_a_bridge_that_is_in_the_way_is_refused_with_advice(
    present: dict[str, dict[str, Any]], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "links", lambda: present)
    with pytest.raises(host.PodError, match=advice):
        host.make_bridge("rcalab", "rcalab0", "10.77.0.1", check=False)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(host.PodError, match="no-such-program is not installed"):
        host.run("no-such-program")
