# SPDX-License-Identifier: Apache-2.0
"""A small lab of real parts, in which faults can be done and killed side by side with others.

Two pods (real cgroups of version 1, the replica's with a network namespace too), a real supervisord
that runs an engine, a control store and an exporter, and the chaos agent as it is installed. It
needs root, iproute2, iptables and supervisor, and takes no notice of any other lab.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from fault_state import chaos_rules, pod_state, stat_of, state_of

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ROOT / "plugins/module_utils/faults"
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "memory", "blkio")
REPLICA, HEAD, EXPORTER = "replica/llm-0", "head/ray", "telemetry/pod-exporter"
GATEWAY = "gateway/nginx"
NODE = "node/sandbox"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_PORT, _EXPORTER_PORT = 8000, 19000
_START_S = 30.0

# Joins its cgroups and its network namespace; then comes what the sandbox's user wants of it.
_JOIN = """
import ctypes, http.server, os, select, socket, sys, threading, time
address, netns, *cgroups = sys.argv[1].split(",")
for folder in cgroups:
    with open(folder + "/cgroup.procs", "w") as handle:
        handle.write(str(os.getpid()))
if netns:
    with open("/run/netns/" + netns) as handle:
        assert ctypes.CDLL(None).setns(handle.fileno(), 0x40000000) == 0
"""
# Holds some memory, serves /health, echoes datagrams and is busy for a tenth of the time: what a
# fault needs to be felt.
_ENGINE = """
held = bytearray(b"x" * (24 << 20))

def echo():
    handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    handle.bind((address, 9999))
    while True:
        data, sender = handle.recvfrom(2048)
        try:
            handle.sendto(data, sender)
        except OSError:
            pass  # a fault rejects it

def work():
    while True:
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass
        select.select([], [], [], 0.045)  # libfaketime breaks time.sleep

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok 1\\n")
    def log_message(self, *_):
        pass

for target in (echo, work) if netns else ():
    threading.Thread(target=target, daemon=True).start()
http.server.ThreadingHTTPServer((address, int(sys.argv[2])), Health).serve_forever()
"""
# Sends the engine a hundred datagrams a second.
_CLIENT = """
import socket, sys, time
handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
handle.setblocking(False)
while True:
    try:
        handle.sendto(b"x" * 1000, (sys.argv[1], 9999))
    except OSError:
        pass
    time.sleep(0.01)
"""


def why_not() -> str | None:
    """Say why no sandbox can be made on this machine, if so."""
    if os.geteuid() != 0:
        return "needs root"
    if missing := [name for name in CONTROLLERS if not (CGROUPS / name / "cgroup.procs").exists()]:
        return f"needs cgroup version 1 with the controllers {', '.join(missing)}"
    if missing := [name for name in ("ip", "tc", "iptables-save") if shutil.which(name) is None]:
        return f"needs {', '.join(missing)}"
    if importlib.util.find_spec("supervisor") is None:
        return "needs supervisor: make setup"
    return None


def build_agent(path: Path) -> Path:
    """Write the chaos agent to ``path``, as the role chaos_agent installs it."""
    path.write_bytes(_zipapps().build_zipapp(FAULTS, "faults.cli:main"))
    return path


def _zipapps() -> ModuleType:
    source = ROOT / "plugins/module_utils/zipapps.py"
    spec = importlib.util.spec_from_file_location("zipapps", source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Sandbox:
    """One lab; use it as a context.

    Parameters
    ----------
    agent
        The zipapp.
    number
        From 0 to 249; tells it from others of this process.
    facts
        What else ``lab.json`` says.
    start
        What its servers do when they start, in Python.
    environment
        What the agent has in its environment, beside this process's own.
    """

    agent: Path
    number: int = 0
    facts: Mapping[str, object] = field(default_factory=dict)
    start: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lab = f"rct{os.getpid()}x{self.number}"
        self.folder = Path(tempfile.mkdtemp(prefix="rct"))
        self.state = self.folder / "state"
        self.truth_path = self.folder / "ground_truth.json"
        self.events_path = self.folder / "events.jsonl"
        self.clock_file = self.folder / "clock"
        self.netns = f"{self.lab}-replica-0"
        self.address = f"10.201.{self.number}.2"
        # Each sandbox needs a port of its own for what is outside the pods.
        self.exporter_port = _EXPORTER_PORT + 2 * self.number
        self._device = f"rct{os.getpid() % 100000}x{self.number}"
        self._supervisor: subprocess.Popen[bytes] | None = None

    # --- making and removing ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def folder_of(self, controller: str, pod: str = "replica-0") -> Path:
        """Return a pod's folder in the hierarchy of a controller."""
        return CGROUPS / controller / self.lab / "pods" / pod

    def _make(self) -> None:
        for controller in CONTROLLERS:
            for pod in ("replica-0", "head"):
                self.folder_of(controller, pod).mkdir(parents=True, exist_ok=True)
        host = self.address.removesuffix("2") + "1"
        _take_from_the_dead(host)
        for command in (
            f"ip netns add {self.netns}",
            f"ip link add {self._device} type veth peer name eth0 netns {self.netns}",
            f"ip address add {host}/30 dev {self._device}",
            f"ip link set {self._device} up",
            f"ip -n {self.netns} address add {self.address}/30 dev eth0",
            f"ip -n {self.netns} link set eth0 up",
            f"ip -n {self.netns} link set lo up",
        ):
            subprocess.run(command.split(), check=True)
        self.describe(self.folder, self.facts)
        self._start_supervisor()
        wait_for(self.is_whole, "the sandbox", _START_S)

    def describe(
        self, folder: Path, facts: Mapping[str, object], gateway: str | None = None
    ) -> None:
        """Write what the roles write of a lab; one with other facts may be beside its own."""
        where = {
            "replica-0": (REPLICA, self.address),
            "head": (HEAD, "127.0.0.1"),
            "gateway": (GATEWAY, gateway),
        }
        pods = [
            {
                "name": name,
                "component": component,
                "address": address,
                "netns": self.netns if name == "replica-0" else None,
                "interface": None,
                "cgroup": {"version": 1, **{c: str(self.folder_of(c, name)) for c in CONTROLLERS}},
            }
            for name, (component, address) in where.items()
            if address is not None
        ]
        lab = {"format": 1, "lab": self.lab, "isolation": "netns", "pods": pods}
        (folder / "pods.json").write_text(json.dumps(lab), encoding="utf-8")
        exporter = {
            "component": EXPORTER,
            "program": "exporter",
            "address": "127.0.0.1",
            "port": self.exporter_port,
        }
        known = {
            "format": 1,
            "node": NODE,
            "supervisor": str(self.folder / "s.sock"),
            "service": {"kind": "http", "url": f"http://{{address}}:{_PORT}/health"},
            "client": {"command": ["loadgen"], "url": f"http://{self.address}:{_PORT}"},
            "engine": {
                "model": "none",
                "max_model_len": 1024,
                "metrics": f"http://{{address}}:{_PORT}/metrics",
            },
            "prometheus": None,
            "telemetry": [exporter],
            "grafana": None,
            "deny": [],
            "faketime": {REPLICA: str(self.clock_file)},
            **facts,
        }
        (folder / "lab.json").write_text(json.dumps(known), encoding="utf-8")

    def _start_supervisor(self) -> None:
        engine, client = self.folder / "engine.py", self.folder / "client.py"
        engine.write_text(_JOIN + self.start + _ENGINE, encoding="utf-8")
        client.write_text(_CLIENT, encoding="utf-8")

        def server(where: str, port: int, title: str) -> str:
            return f"{sys.executable} {engine} {where} {port} {title}"

        replica = ",".join(
            [self.address, self.netns, *(str(self.folder_of(c)) for c in CONTROLLERS)]
        )
        head = ",".join(["127.0.0.1", "", *(str(self.folder_of(c, "head")) for c in CONTROLLERS)])
        programs = {
            # The title by which the agent knows a simulated engine.
            "engine": server(replica, _PORT, "loadgen mock"),
            "gcs": server(head, self.exporter_port + 1, "/gcs_server"),
            "exporter": server("127.0.0.1,", self.exporter_port, "exporter"),
            "client": f"{sys.executable} {client} {self.address}",
        }
        faketime = (
            f'LD_PRELOAD="{FAKETIME}",FAKETIME_TIMESTAMP_FILE="{self.clock_file}",'
            'FAKETIME_CACHE_DURATION="1",FAKETIME_DONT_FAKE_MONOTONIC="1"'
        )
        text = (
            f"[supervisord]\nnodaemon=true\nlogfile={self.folder}/s.log\n"
            f"pidfile={self.folder}/s.pid\n"
            f"[unix_http_server]\nfile={self.folder}/s.sock\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        )
        for name, command in programs.items():
            text += (
                f"[program:{name}]\ncommand={command}\nstartsecs=0\nautorestart=true\n"
                f"stopwaitsecs=2\nstdout_logfile={self.folder}/{name}.log\nredirect_stderr=true\n"
            )
            if name == "engine" and FAKETIME.exists():
                text += f"environment={faketime}\n"
        config = self.folder / "s.conf"
        config.write_text(text, encoding="utf-8")
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )

    def close(self) -> None:
        """End everything and remove it."""
        if (self.folder / "pods.json").exists():
            self.revert()
        for watchdog in self.watchdogs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(watchdog, signal.SIGKILL)
        if self._supervisor is not None:
            self._supervisor.terminate()
            self._supervisor.wait(30)
        # The device first: a namespace takes its devices with it, but not at once.
        for command in (
            ["ip", "link", "delete", self._device],
            ["ip", "netns", "delete", self.netns],
        ):
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        for controller in CONTROLLERS:
            top = CGROUPS / controller / self.lab
            for folder in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
                _remove_cgroup(folder)
            _remove_cgroup(top)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- doing faults ----------------------------------------------------------------------------

    def command(self, verb: str, *arguments: str) -> list[str]:
        """Return the agent's command line."""
        return [sys.executable, str(self.agent), verb, "--state-dir", str(self.state), *arguments]

    def run(
        self,
        fault: str,
        target: str = REPLICA,
        *arguments: str,
        spec: Mapping[str, object] | None = None,
        described: Path | None = None,
        **parameters: object,
    ) -> subprocess.Popen[str]:
        """Start the agent on a fault, on the lab as a folder of `describe` has it (its own one)."""
        paths = ["--pods", f"{described or self.folder}/pods.json", "--truth", str(self.truth_path)]
        paths += ["--events", str(self.events_path)]
        process = subprocess.Popen(
            self.command("run", *paths, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        asked = {"fault": fault, "target": target, "parameters": parameters, **(spec or {})}
        if process.stdin is None:
            raise RuntimeError("a pipe was asked for")
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        process.stdin = None
        return process

    def revert(self) -> subprocess.CompletedProcess[str]:
        """Undo whatever is left."""
        return subprocess.run(
            self.command("revert"),
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def truth(self) -> dict[str, Any]:
        """Return the ground truth."""
        read: dict[str, Any] = json.loads(self.truth_path.read_text(encoding="utf-8"))
        return read

    def states(self) -> list[str]:
        """Return the states that the journal tells of."""
        path = self.state / "journal.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        return [json.loads(line)["state"] for line in lines]

    def watchdogs(self) -> list[int]:
        """Return the numbers of the watchdogs that were started and still run."""
        files = self.state.glob("windows/*/watchdog.json")
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        # By start too: a number may be somebody else's by now.
        return [
            each["pid"]
            for each in found
            if (stat := stat_of(each["pid"])) and stat[0] != "Z" and int(stat[19]) == each["start"]
        ]

    def left_to_undo(self) -> list[str]:
        """Return the windows with something left to undo: where no watchdog was, no dose was."""
        return [
            file.parent.name
            for file in self.state.glob("windows/*/undo.json")
            if file.with_name("watchdog.json").exists()
        ]

    # --- what is there ---------------------------------------------------------------------------

    def engine(self) -> int | None:
        """Return the engine's number, if it runs."""
        return self._pid("engine")

    def exporter(self) -> int | None:
        """Return the exporter's number, if it runs."""
        return self._pid("exporter")

    def _pid(self, program: str) -> int | None:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "supervisor.supervisorctl"),
                *("-s", f"unix://{self.folder}/s.sock", "pid", program),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout.strip()
        return int(text) if text.isdigit() and text != "0" else None

    def is_whole(self) -> bool:
        """Say whether everything answers."""
        ports = {self.address: _PORT, "127.0.0.1": self.exporter_port}
        urls = [f"http://{address}:{port}/" for address, port in ports.items()]
        urls.append(f"http://127.0.0.1:{self.exporter_port + 1}/")
        for url in urls:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - http
                    answer.read()
            except OSError:
                return False
        return True

    def snapshot(self) -> dict[str, object]:
        """Return all that a fault may change, so that two looks can be compared."""
        cgroup = {name: self.folder_of(name) for name in CONTROLLERS}
        # The machine's own filter is everybody's: only what is about this exporter counts.
        port, exporter = f"--dport {self.exporter_port} ", self.exporter()
        return {
            **pod_state(cgroup, self.netns),
            "scrape_rules": [line for line in chaos_rules() if port in line],
            "neighbour": (cgroup["cpu"].parents[1] / "neighbour").exists(),
            "exporter_stopped": exporter is not None and state_of(exporter) == "T",
            "clock": self.clock_file.read_text() if self.clock_file.exists() else None,
            "whole": self.is_whole(),
        }


def _take_from_the_dead(address: str) -> None:
    """Remove the device of a sandbox that was killed: it would get what is meant for this one."""
    shown = subprocess.run(
        ["ip", "-json", "address", "show", "to", address], check=True, capture_output=True
    )
    for device in filter(None, json.loads(shown.stdout)):
        owner = re.fullmatch(r"rct(\d+)x\d+", device["ifname"])
        if owner is None or Path("/proc", owner[1]).exists():
            raise RuntimeError(f"{address} is in use by the device {device['ifname']}")
        subprocess.run(["ip", "link", "delete", device["ifname"]], check=True)


def _remove_cgroup(folder: Path, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while folder.is_dir():
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def wait_for(
    condition: Callable[[], object], what: str, timeout_s: float, step_s: float = 0.02
) -> float:
    """Wait until a condition holds, and return the seconds it took; raise TimeoutError if not."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout_s:
            raise TimeoutError(f"{what} did not come within {timeout_s:g} s")
        time.sleep(step_s)
    return time.monotonic() - begin
