# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k3s leaves is found, and nothing of anybody else."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.module_utils import _k3s_leftovers as leftovers
from ansible_collections.rcalab.llm.plugins.modules import k3s_leftovers

SHIM = "/var/lib/rancher/k3s/data/0f/bin/containerd-shim-runc-v2"


def process(proc: Path, pid: int, parent: int, *command: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} (a) name) S {parent} {pid} {pid} 0")
    (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in command))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    process(folder, 1, 0, "/sbin/init")
    process(folder, 10, 1, SHIM, "-namespace", "k8s.io")
    process(folder, 11, 10, "/pause")
    process(folder, 12, 11, "worker")
    process(folder, 20, 1, "/usr/bin/containerd-shim-runc-v2", "-namespace", "moby")
    process(folder, 21, 20, "another engine's")
    process(folder, 30, 1, "less", SHIM)
    (folder / "40").mkdir()
    return folder


def test_only_what_descends_from_a_shim_of_k3s_is_a_container(proc: Path) -> None:
    assert leftovers.container_processes(proc) == [10, 11, 12]


def test_mounts_are_listed_innermost_first() -> None:
    mounts = "\n".join(
        f"tmpfs {point} tmpfs rw 0 0"
        for point in [
            "/",
            "/run/k3s/a",
            r"/run/k3s/a/with\040space",
            "/run/k3sx",
            "/run/netns/cni-1",
        ]
    )
    assert leftovers.mounts_of(mounts) == [
        "/run/netns/cni-1",
        "/run/k3s/a/with space",
        "/run/k3s/a",
    ]


def test_interfaces_of_others_stay() -> None:
    names = ["lo", "eth0", "cni0", "flannel.1", "cilium_host", "docker0", "rcalab0"]
    assert leftovers.links_of(names) == ["cilium_host", "cni0", "flannel.1"]


def test_rules_of_others_stay() -> None:
    others = ["*nat\n", ":POSTROUTING ACCEPT\n", "-A INPUT -j DROP\n", "COMMIT\n"]
    kubernetes = [":KUBE-SERVICES - [0:0]\n", "-A POSTROUTING -j KUBE-X\n"]
    saved = "".join([*others[:2], *kubernetes, *others[2:]])
    assert leftovers.rules_without(saved) == "".join(others)


@pytest.fixture
def host(proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stand for a host; return the signals that were sent."""
    (tmp_path / "mounts").write_text("")
    (tmp_path / "links").mkdir()
    monkeypatch.setattr(k3s_leftovers, "_PROC", proc)
    monkeypatch.setattr(k3s_leftovers, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(k3s_leftovers, "_LINKS", tmp_path / "links")
    monkeypatch.setattr(k3s_leftovers, "network_namespaces", list)
    monkeypatch.setenv("PATH", str(tmp_path))
    sent = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        (proc / str(pid)).rename(tmp_path / str(pid))

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(k3s_leftovers, "remove_rules", lambda _module: [])
    return sent


def call(capsys: pytest.CaptureFixture[str], **arguments: object) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        k3s_leftovers.main()
    return json.loads(capsys.readouterr().out)


def test_containers_are_ended_once(
    host: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = call(capsys), call(capsys)

    assert host == [(pid, signal.SIGKILL) for pid in (10, 11, 12)]
    assert (first["changed"], first["processes"]) == (True, 3)
    assert not second["changed"]


def test_check_mode_ends_nothing(
    host: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, _ansible_check_mode=True)["processes"] == 3
    assert host == []
