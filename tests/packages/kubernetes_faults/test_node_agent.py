# SPDX-License-Identifier: Apache-2.0
"""The agent on a node: what is asked of it, and what its journal and its end are taken for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils import faults
from ansible_collections.rcalab.llm.plugins.module_utils.faults import times
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults import on_node
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import POD
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp

from tests.packages.kubernetes_faults.lab import Lab, wait_for

pytestmark = pytest.mark.slow
UID = "0b7c1f2e-1111-2222-3333-444455556666"
CPU = Path("/sys/fs/cgroup/cpu")
IDLE = "import time; time.sleep(60)"


def journal(*states: str) -> str:
    return "".join(
        json.dumps({"time": times.now_text(), "window": "w", "state": state}) + "\n"
        for state in states
    )


class Kubelet(threading.Thread):
    """Plays the node's part: an agent that goes through its window and ends with a truth."""

    def __init__(self, lab: Lab, truth: dict[str, Any], *states: str) -> None:
        super().__init__(daemon=True)
        self.lab, self.truth, self.states = lab, truth, states

    def run(self) -> None:
        wait_for(lambda: self._agents(), "the agent's pod")
        [pod] = self._agents()
        name = pod["metadata"]["name"]
        log = {"metadata": {"annotations": {"fake/log": journal(*self.states)}}}
        self.lab.api.patch(POD, "llm", name, log)
        time.sleep(3)
        ended = {"terminated": {"exitCode": 0, "message": json.dumps(self.truth)}}
        status = {"phase": "Succeeded", "containerStatuses": [{"name": "agent", "state": ended}]}
        path = f"{POD.path('llm', name)}/status"
        self.lab.api.request(
            "PATCH", path, body={"status": status}, content_type="application/merge-patch+json"
        )

    def _agents(self) -> list[dict[str, Any]]:
        pods = self.lab.objects("Pod")
        return [pod for pod in pods if pod["spec"]["containers"][0]["name"] == "agent"]


TRUTH = {
    "outcome": "effective",
    "messages": [],
    "times": {"applied": "t1", "revert_verified": "t2"},
    "dose": {"intended": {}, "measured": {"stopped_ratio": 1.0, "processes": 2.0}},
}


def test_the_agents_window_is_the_window(lab: Lab) -> None:
    Kubelet(lab, TRUTH, "PLANNED", "PREFLIGHT", "ARMED", "INJECTING", "ACTIVE").start()

    truth = lab.effective("F12", duration_s=20)

    assert truth["dose"]["measured"]["stopped_ratio"] == 1
    assert "revert_verified on the node: t2" in truth["messages"]
    assert lab.left() == []
    assert not [o for o in lab.objects("ConfigMap", "Pod") if o["metadata"]["name"][:6] == "rcalab"]


def test_what_the_agent_refuses_is_said(lab: Lab) -> None:
    refused = {"outcome": "aborted", "messages": ["no engine runs in pod pod"]}
    Kubelet(lab, refused, "PLANNED", "PREFLIGHT", "ABORTED").start()
    run = lab.run("F12", duration_s=20)

    output = run.communicate(timeout=60)[0]

    assert run.returncode == 4
    assert "no engine runs in pod pod" in json.loads(output)["messages"][0]
    assert lab.left() == []


def test_without_the_agent_for_nodes_it_is_refused(lab: Lab) -> None:
    lab.describe(node_agent=None)
    run = lab.run("F13")

    assert "there is no agent for nodes" in run.communicate(timeout=60)[1]
    assert run.returncode == 2


@dataclass
class Node:
    """A pod's cgroup as a kubelet makes it, an engine in it, and the program on the node."""

    folder: Path
    engine: subprocess.Popen[bytes]
    program: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", self.program], stdout=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def engine_state(self) -> str:
        stat = Path(f"/proc/{self.engine.pid}/stat").read_text(encoding="utf-8")
        return stat.rsplit(")", 1)[1].split()[0]

    def said(self) -> str:
        path = self.folder / "said"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    if os.geteuid() != 0 or not (CPU / "cpu.cfs_quota_us").exists():
        pytest.skip("needs root and cgroup version 1 with its CPU controller")
    agent = build_zipapp(Path(faults.__file__).parent, "faults.cli:main")
    (tmp_path / "agent.pyz").write_bytes(agent)
    spec = {"fault": "F12", "target": "replica/llm-0", "parameters": {"duration_s": 2}}
    (tmp_path / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    target = {"uid": UID, "component": "replica/llm-0", "address": "127.0.0.1"}
    (tmp_path / "target.json").write_text(json.dumps(target), encoding="utf-8")
    engine = subprocess.Popen(["VLLM::EngineCore", "-c", IDLE], executable=sys.executable)
    names = [name for name in on_node._CONTROLLERS if (CPU.parent / name).is_dir()]
    above = [CPU.parent / name / f"rcalab-test-{os.getpid()}" for name in names]
    folders = [folder / f"kubepods-pod{UID.replace('-', '_')}.slice" for folder in above]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text(str(engine.pid), encoding="ascii")
    source = Path(on_node.__file__).read_text(encoding="utf-8")
    for name, path in (
        ("/agent", tmp_path),
        ("/state", tmp_path),
        ("/dev/termination-log", tmp_path / "said"),
    ):
        source = source.replace(f'"{name}"', f'"{path}"')
    node = Node(tmp_path, engine, source)
    try:
        yield node
    finally:
        for process in (*node.started, engine):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        for folder in (*folders, *above):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


def test_it_finds_the_pod_by_its_uid_and_leaves_the_truth(node: Node) -> None:
    run = node.run()

    wait_for(lambda: node.engine_state() == "T", "the stop")
    output, _none = run.communicate(timeout=30)

    assert run.returncode == 0
    assert node.engine_state() != "T"
    states = [json.loads(line)["state"] for line in output.splitlines()]
    assert states[-1] == "REVERTED"
    truth = json.loads(node.said())
    assert truth["outcome"] == "effective"
    assert truth["dose"]["measured"]["stopped_ratio"] == 1


def test_told_to_end_it_puts_the_pod_back_first(node: Node) -> None:
    run = node.run()
    wait_for(lambda: node.engine_state() == "T", "the stop")

    run.send_signal(signal.SIGTERM)
    run.wait(timeout=30)

    assert node.engine_state() != "T"
    assert json.loads(node.said())["outcome"] == "aborted"


def test_started_anew_it_puts_back_what_it_finds(node: Node) -> None:
    spec = {"fault": "F12", "target": "replica/llm-0", "parameters": {"duration_s": 60}}
    (node.folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    run = node.run()
    wait_for(lambda: node.engine_state() == "T", "the stop")
    # A container that is killed takes all its processes along, the agent's watchdog too.
    [file] = node.folder.glob("state/windows/*/watchdog.json")
    watchdog = json.loads(file.read_text(encoding="utf-8"))["pid"]
    lock = json.loads((node.folder / "state/lock.json").read_text(encoding="utf-8"))
    for pid in (run.pid, watchdog, lock["runner"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    run.wait()
    assert node.engine_state() == "T"

    again = node.run()
    again.wait(timeout=30)

    assert again.returncode == 0
    assert node.engine_state() != "T"
    assert "put the pod back" in node.said()
