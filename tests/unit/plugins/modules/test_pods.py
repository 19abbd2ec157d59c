# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real pods: what runs in them is apart, and nothing of them is left."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.module_utils import _pods as host
from ansible_collections.rcalab.llm.plugins.modules import pods

POD_EXEC = Path(pods.__file__).parents[2] / "roles/pods/files/pod_exec.py"
NAMES = ("a", "b")
SLEEP = ("sleep", "60")
STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
NET = os.getpid() % 250


class Lab:
    """A lab of two pods of its own name and network, and what a test does with it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], isolation: str):
        self.name = f"tst{os.getpid() % 1000}"
        self.path = folder / "pods.json"
        self.isolation = isolation
        self._capsys = capsys
        self._started: list[subprocess.Popen[str]] = []

    def module(self, state: str = "present", **options: Any) -> dict[str, Any]:
        """Run the module and return its result."""
        arguments = {
            "lab": self.name,
            "path": str(self.path),
            "state": state,
            "isolation": self.isolation,
            "bridge": f"{self.name}0",
            "address": f"10.202.{NET}.1",
            "pods": [
                {"name": name, "component": f"replica/{name}", "address": self.address(name)}
                for name in NAMES
            ],
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            pods.main()
        return json.loads(self._capsys.readouterr().out)

    @staticmethod
    def address(pod: str) -> str:
        return f"10.202.{NET}.{20 + NAMES.index(pod)}"

    def start(self, pod: str, *command: str) -> subprocess.Popen[str]:
        """Start a program in a pod; with isolation it is that program when this returns."""
        process = subprocess.Popen(
            [sys.executable, str(POD_EXEC), "--pods", str(self.path), pod, "--", *command],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        if self.isolation == "netns":
            wait_for(lambda: read(process.pid, "cmdline").split("\0")[0] == command[0])
        return process

    def left(self) -> list[object]:
        """Return what of the lab is on the machine."""
        devices = (name for names in host.lab_networks(self.name) for name in names)
        return [*host.lab_cgroups(self.name), *devices]

    def close(self) -> None:
        self.module("absent")
        for process in self._started:
            process.kill()
            process.communicate()


def read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")


def wait_for(condition: Any, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "end_processes", functools.partial(host.end_processes, timeout_s=4))


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Lab]:
    """Pods that are network namespaces and cgroups."""
    lab = Lab(tmp_path, capsys, "netns")
    try:
        assert lab.module()["changed"]
        yield lab
    finally:
        lab.close()


@pytest.fixture
def plain_lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Lab]:
    """Pods that are marks in the environment."""
    lab = Lab(tmp_path, capsys, "none")
    try:
        assert lab.module()["changed"]
        yield lab
    finally:
        lab.close()


@pytest.mark.root
def test_what_runs_in_a_pod_is_apart_marked_and_without_capabilities(lab: Lab) -> None:
    for pod in NAMES:
        pid = lab.start(pod, *SLEEP).pid

        assert Path(f"/proc/{pid}/ns/net").stat().st_ino == (
            Path(f"/run/netns/{lab.name}-{pod}").stat().st_ino
        )
        entry = next(p for p in json.loads(lab.path.read_text())["pods"] if p["name"] == pod)
        for controller in host.CONTROLLERS:
            members = Path(entry["cgroup"][controller], "cgroup.procs").read_text().split()
            assert members == [str(pid)], controller
        status = dict(line.split(":\t", 1) for line in read(pid, "status").splitlines())
        assert [int(status[field], 16) for field in ("CapBnd", "CapPrm", "CapEff")] == [0, 0, 0]
        assert status["NoNewPrivs"] == "1"
        assert {f"RCALAB_LAB={lab.name}", f"RCALAB_POD={pod}"} <= set(
            read(pid, "environ").split("\0")
        )


@pytest.mark.root
def test_the_shared_memory_of_a_pod_goes_with_its_program(lab: Lab) -> None:
    left = Path("/dev/shm", lab.name)  # noqa: S108 - no file is made there, if all is well
    script = f"test -e {left}; echo $?; touch {left}; test -e {left}; echo $?; sleep 60; exit"
    for _turn in range(2):
        program = lab.start(NAMES[0], "sh", "-c", script)
        assert program.stdout is not None
        assert [program.stdout.readline() for _line in range(2)] == ["1\n", "0\n"]
        program.kill()  # it can clean nothing up

    assert not left.exists()


@pytest.mark.root
def test_pods_reach_each_other_and_the_host_reaches_them(lab: Lab) -> None:
    serve = (
        "import socket, sys\n"
        "with socket.create_server((sys.argv[1], 7000)) as server:\n"
        "    print('up', flush=True)\n"
        "    for _ in range(2): server.accept()[0].sendall(b'hello')\n"
    )
    ask = (
        "import socket, sys\n"
        "with socket.create_connection((sys.argv[1], 7000), timeout=5) as s:\n"
        "    print(s.recv(5).decode())\n"
    )
    server = lab.start("a", sys.executable, "-c", serve, lab.address("a"))
    assert server.stdout is not None
    assert server.stdout.readline() == "up\n"

    client = lab.start("b", sys.executable, "-c", ask, lab.address("a"))

    assert client.communicate(timeout=10)[0] == "hello\n"
    on_host = subprocess.run(
        [sys.executable, "-c", ask, lab.address("a")], capture_output=True, text=True, check=True
    )
    assert on_host.stdout == "hello\n"


@pytest.mark.root
def test_the_second_time_changes_nothing(lab: Lab) -> None:
    assert not lab.module()["changed"]
    assert not lab.module(_ansible_check_mode=True)["changed"]


@pytest.mark.root
def test_a_pod_whose_making_was_interrupted_is_completed(lab: Lab) -> None:
    subprocess.run(["ip", "link", "set", f"{lab.name}-20", "nomaster"], check=True)
    assert lab.module()["changed"]
    assert not lab.module()["changed"]


@pytest.mark.root
def test_absent_ends_what_does_not_want_to_end_and_leaves_nothing(lab: Lab) -> None:
    supervisor = lab.start("observers", "sh", "-c", "sleep 60 & wait")
    supervisor.kill()  # its child is an orphan now
    stubborn = lab.start("a", *STUBBORN)
    stopped = lab.start("b", *SLEEP)
    stopped.send_signal(signal.SIGSTOP)
    lab.path.unlink()

    result = lab.module("absent")

    assert result["changed"]
    assert result["ended_processes"] >= 3
    assert (stubborn.wait(1), stopped.wait(1)) == (-signal.SIGKILL, -signal.SIGTERM)
    assert lab.left() == []
    assert not lab.module("absent")["changed"]


@pytest.mark.root
def test_absent_ends_frozen_pods(lab: Lab) -> None:
    frozen = lab.start("a", *SLEEP)
    folder = Path(host.cgroup_paths(lab.name, "pods/a")["freezer"])
    v1 = folder / "freezer.state"
    if v1.exists():
        v1.write_text("FROZEN")
    else:
        (folder / "cgroup.freeze").write_text("1")

    lab.module("absent")

    assert frozen.wait(1) == -signal.SIGTERM
    assert lab.left() == []


@pytest.mark.root
def test_check_mode_makes_and_removes_nothing(lab: Lab) -> None:
    before = lab.left()
    assert lab.module("absent", _ansible_check_mode=True)["changed"]
    assert lab.left() == before
    lab.module("absent")
    assert lab.module(_ansible_check_mode=True)["changed"]
    assert lab.left() == []
    assert not lab.path.exists()


@pytest.mark.root
def test_another_lab_in_the_same_network_is_refused(lab: Lab) -> None:
    result = lab.module(lab=f"{lab.name}x", bridge=f"{lab.name}x0")
    assert "set lab_network" in result["msg"]
    assert "set lab_bridge" in lab.module(lab=f"{lab.name}x")["msg"]


def test_without_isolation_a_pod_is_its_mark(plain_lab: Lab) -> None:
    entries = json.loads(plain_lab.path.read_text())["pods"]
    assert [entry["netns"] or entry["interface"] or entry["cgroup"] for entry in entries] == [
        None,
        None,
    ]
    assert not plain_lab.module()["changed"]
    # A program that sets its own title wipes its mark: as one with an empty environment.
    keeper = plain_lab.start("a", "env", "-i", "sh", "-c", "echo $$; exec sleep 60")
    assert keeper.stdout is not None
    program = int(keeper.stdout.readline())

    assert plain_lab.module("absent")["ended_processes"] == 2

    assert keeper.wait(1) == 128 + signal.SIGTERM
    assert host.processes.identify(program) is None
    assert not plain_lab.path.exists()


def test_without_isolation_a_reload_reaches_the_program(plain_lab: Lab) -> None:
    reloading = "trap 'echo reloaded' HUP; echo up; while :; do sleep 0.1; done"
    keeper = plain_lab.start("a", "sh", "-c", reloading)
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == "up\n"
    keeper.send_signal(signal.SIGHUP)
    assert keeper.stdout.readline() == "reloaded\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lab": "../.."}, "no lab's name"),
        ({"pods": [{"name": "n" * 13, "component": "c/n", "address": "10.79.0.2"}]}, "12 char"),
    ],
)
def test_what_cannot_work_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Lab(tmp_path, capsys, "none").module(**options)
    assert result["failed"]
    assert message in result["msg"]
