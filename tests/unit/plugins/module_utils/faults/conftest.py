# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of one pod, as the chaos agent sees it, and the agent itself as it is installed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils import faults
from ansible_collections.rcalab.llm.plugins.module_utils.faults import cgroups
from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import Fault, Target
from ansible_collections.rcalab.llm.plugins.module_utils.faults.lab import Client, Engine, Part
from ansible_collections.rcalab.llm.plugins.module_utils.faults.lab import Lab as Around
from ansible_collections.rcalab.llm.plugins.module_utils.faults.network import Netns
from ansible_collections.rcalab.llm.plugins.module_utils.faults.pods import Pod
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp

LAB = f"rcalab-test-{os.getpid()}"
COMPONENT = "replica/llm-0"
V1_ROOT = Path("/sys/fs/cgroup/cpu")
# Ends by itself, should a test be killed.
BUSY = "import time\nend = time.monotonic() + 40\nwhile time.monotonic() < end: pass"
IDLE = "import time; time.sleep(40)"
ECHO_PORT = 9999
ECHO = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", {ECHO_PORT}))
s.settimeout(60)
while True:
    s.sendto(*s.recvfrom(2048))
"""


def target_of(
    fault: type[Fault], cgroup: cgroups.CpuCgroup | None, isolation: str = "netns"
) -> Target:
    """A target of the first kind that the fault knows, in a lab of one pod and one exporter."""
    name = {"head": "head/ray", "gateway": "gateway/nginx"}.get(fault.kinds[0], COMPONENT)
    folders = {} if cgroup is None else dict.fromkeys(("memory", "blkio", "io"), cgroup.cpu)
    pod = Pod(
        "rcalab-test",
        "replica-0",
        name,
        isolation,
        cgroup,
        Netns("rcalab-test-replica-0"),
        controllers=folders,
    )
    parts = {
        "node": Part("node/host", isolation),
        "gpu": Part("gpu/host.0", isolation, uuid=f"GPU-{'a' * 8}-aaaa-aaaa-aaaa-{'a' * 12}"),
        "telemetry": Part("telemetry/pod-exporter", isolation, "pod-exporter", "127.0.0.1", 9101),
    }
    parts |= {
        "client": Part("client/loadgen", isolation),
        "service": Part("service/llm", isolation),
    }
    around = Around(
        "rcalab-test",
        isolation,
        (pod,),
        tuple(parts.values()),
        "node/host",
        client=Client(("loadgen",), "http://127.0.0.1:8080"),
        engine=Engine("tiny", 2048, "http://{address}:9080/metrics"),
    )
    return Target(parts.get(fault.kinds[0], pod), "host", around)


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zipapp, as the role chaos_agent installs it."""
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_zipapp(Path(faults.__file__).parent, "faults.cli:main"))
    return path


class Lab:
    """One pod, the agent's files, and what a test does with them."""

    def __init__(
        self,
        agent: Path,
        folder: Path,
        pod: str,
        cgroup: dict[str, object] | None,
        netns: str | None = None,
        address: str = "127.0.0.1",
    ):
        self.agent = agent
        self.state = folder / "state"
        self.truth_path = folder / "ground_truth.json"
        self.pods = folder / "pods.json"
        self.pod = pod
        self.cgroup = cgroup
        self.netns = netns
        self.address = address
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pods.write_text(
            json.dumps(
                {
                    "format": 1,
                    "lab": LAB,
                    "isolation": "none" if cgroup is None else "netns",
                    "pods": [
                        {
                            "name": pod,
                            "component": COMPONENT,
                            "address": address,
                            "netns": netns,
                            "interface": None,
                            "cgroup": cgroup,
                        }
                    ],
                }
            )
        )

    def start(self, program: str, title: str = sys.executable) -> subprocess.Popen[bytes]:
        """Start a process in the pod, under the title of another program if need be."""
        enter = [] if self.netns is None else ["ip", "netns", "exec", self.netns]
        process = subprocess.Popen(
            [*enter, sys.executable, "-c", program] if enter else [title, "-c", program],
            executable=None if enter else sys.executable,
            env={**os.environ, "RCALAB_LAB": LAB, "RCALAB_POD": self.pod},
        )
        self.processes.append(process)
        if self.cgroup is not None:
            for controller in ("cpu", "cpuacct"):
                (Path(str(self.cgroup[controller])) / "cgroup.procs").write_text(str(process.pid))
        return process

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, str(self.agent), verb, "--state-dir", str(self.state), *arguments]

    def run(
        self,
        fault: str = "F01",
        target: str = COMPONENT,
        *arguments: str,
        confirm: str | None = None,
        **parameters: object,
    ) -> subprocess.Popen[str]:
        """Start the agent on a fault."""
        process = subprocess.Popen(
            self.command(
                "run", "--pods", str(self.pods), "--truth", str(self.truth_path), *arguments
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        spec = {"fault": fault, "target": target, "parameters": parameters, "confirm": confirm}
        process.stdin.write(json.dumps(spec))
        process.stdin.close()
        process.stdin = None
        return process

    def revert(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command("revert"), capture_output=True, text=True, check=False)

    def journal(self) -> list[dict[str, object]]:
        path = self.state / "journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def states(self) -> list[object]:
        return [line["state"] for line in self.journal()]

    def await_state(self, state: str, timeout_s: float = 30) -> None:
        wait_for(lambda: state in self.states(), f"state {state}", timeout_s, step_s=0.002)

    def await_undone(self, timeout_s: float) -> None:
        wait_for(lambda: list(self.state.glob("windows/*/undone.json")), "the undo", timeout_s)

    def truth(self) -> dict[str, object]:
        return json.loads(self.truth_path.read_text(encoding="utf-8"))

    def watchdog(self) -> int | None:
        for file in self.state.glob("windows/*/watchdog.json"):
            return json.loads(file.read_text(encoding="utf-8"))["pid"]
        return None

    def quota(self) -> str:
        assert self.cgroup is not None
        return (Path(str(self.cgroup["cpu"])) / "cpu.cfs_quota_us").read_text().strip()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        pid = self.watchdog()
        if pid is not None:
            wait_for(lambda: not is_running(pid), "the watchdog's end", 10)


def is_running(pid: int) -> bool:
    """Say whether the process runs (a zombie, which nobody here may reap, does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(
    condition: Callable[[], object], what: str, timeout_s: float, step_s: float = 0.02
) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {timeout_s} s"
        time.sleep(step_s)


@pytest.fixture
def lab(agent: Path, tmp_path: Path) -> Iterator[Lab]:
    """A lab whose pod is a real cgroup, removed afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not (V1_ROOT / "cpu.cfs_quota_us").exists():
        pytest.skip(f"needs cgroup v1 with its CPU controller at {V1_ROOT}")
    folders = {
        controller: Path("/sys/fs/cgroup") / controller / LAB / "replica-0"
        for controller in ("cpu", "cpuacct")
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
    # A busy machine must not starve the pod before the fault does.
    (folders["cpu"].parent / "cpu.shares").write_text("16384")
    # Where both controllers share one hierarchy, the second name is a link to the first.
    cgroup = {"version": 1, **{name: str(folder) for name, folder in folders.items()}}
    lab = Lab(agent, tmp_path, "replica-0", cgroup)
    try:
        yield lab
    finally:
        lab.close()
        for folder in folders.values():
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
                folder.parent.rmdir()


@pytest.fixture
def network_lab(lab: Lab, agent: Path, tmp_path: Path) -> Iterator[Lab]:
    """A lab whose pod has a network namespace too, and in it a server that echoes datagrams."""
    if not all(map(shutil.which, ("ip", "tc", "iptables-save"))):
        pytest.skip("needs iproute2 and iptables")
    netns, device = f"{LAB}-replica-0", f"rct{os.getpid()}"
    # Each worker of pytest-xdist has a network of its own.
    network = f"10.203.{int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
    host = f"{network}.1"
    made = Lab(agent, tmp_path, "replica-0", lab.cgroup, netns, f"{network}.2")
    try:
        # A run that was killed may have left its device, and that would get our datagrams.
        shown = subprocess.check_output(["ip", "-json", "address", "show", "to", host])
        for left in filter(None, json.loads(shown)):
            subprocess.run(["ip", "link", "delete", left["ifname"]], check=True)
        for command in (
            f"ip netns add {netns}",
            f"ip link add {device} type veth peer name eth0 netns {netns}",
            f"ip address add {host}/30 dev {device}",
            f"ip link set {device} up",
            f"ip -n {netns} address add {made.address}/30 dev eth0",
            f"ip -n {netns} link set eth0 up",
            f"ip -n {netns} link set lo up",
        ):
            subprocess.run(command.split(), check=True)
        made.start(ECHO)
        yield made
    finally:
        made.close()
        # The device first: a namespace takes its devices with it, but not at once.
        subprocess.run(["ip", "link", "delete", device], check=False)
        subprocess.run(["ip", "netns", "delete", netns], check=False)


@contextlib.contextmanager
def traffic(lab: Lab) -> Iterator[None]:
    """Send the pod's server 200 datagrams a second, 30 s at most."""
    ending = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            handle.setblocking(False)
            end = time.monotonic() + 30
            while not ending.wait(0.005) and time.monotonic() < end:
                with contextlib.suppress(OSError):
                    handle.sendto(b"x" * 1000, (lab.address, ECHO_PORT))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.fixture
def plain_lab(agent: Path, tmp_path: Path) -> Iterator[Lab]:
    """A lab with isolation none: its pod is a mark in the environment."""
    lab = Lab(agent, tmp_path, "replica-0", None)
    try:
        yield lab
    finally:
        for process in lab.processes:
            process.send_signal(signal.SIGCONT)
        lab.close()


@pytest.fixture(params=[1, 2])
def fake_cgroup(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> cgroups.CpuCgroup:
    """A cgroup of either version, made of plain files."""
    monkeypatch.setattr(cgroups, "mount_points", lambda: [tmp_path])
    folder = tmp_path / "rcalab" / "replica-0"
    folder.mkdir(parents=True)
    stat = {"nr_periods": 7, "nr_throttled": 3}
    if request.param == 1:
        (folder / "cpu.cfs_quota_us").write_text("-1\n")
        (folder / "cpu.cfs_period_us").write_text("50000\n")
        (folder / "cpuacct.usage").write_text("2500000000\n")
        stat["throttled_time"] = 1_500_000_000
    else:
        (folder / "cpu.max").write_text("max 50000\n")
        stat |= {"usage_usec": 2_500_000, "throttled_usec": 1_500_000}
    (folder / "cpu.stat").write_text("".join(f"{name} {n}\n" for name, n in stat.items()))
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return cgroups.cpu_cgroup(request.param, folder, folder)
