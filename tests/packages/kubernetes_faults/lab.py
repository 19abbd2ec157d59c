# SPDX-License-Identifier: Apache-2.0
"""A service in a cluster, the chaos agent's files, and what a test does with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import KINDS, Api

from tests.fake_kubernetes import FakeKubernetes

COMPONENT = "replica/llm-0"
STATES = ["PLANNED", "PREFLIGHT", "ARMED", "INJECTING", "ACTIVE", "REVERTING", "REVERTED"]


def _template(container: str, port: int, **more: Any) -> dict[str, Any]:
    limits = {"cpu": "4", "memory": "16Gi"}
    return {
        "spec": {
            "containers": [
                {
                    "name": container,
                    "image": "registry.example.org/ray-llm:1",
                    "ports": [{"name": "metrics", "containerPort": port}],
                    "resources": {"limits": limits},
                    **more,
                }
            ],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        }
    }


SERVICE: dict[str, Any] = {
    "apiVersion": "ray.io/v1",
    "kind": "RayService",
    "metadata": {"name": "llm", "namespace": "llm"},
    "spec": {
        "serveConfigV2": json.dumps(
            {
                "applications": [
                    {
                        "name": "llm",
                        "args": {
                            "llm_configs": [
                                {
                                    "engine_kwargs": {"max_model_len": 8192},
                                    "deployment_config": {"num_replicas": 2},
                                }
                            ]
                        },
                    }
                ]
            }
        ),
        "rayClusterConfig": {
            "headGroupSpec": {"rayStartParams": {}, "template": _template("ray-head", 8080)},
            "workerGroupSpecs": [
                {
                    "groupName": f"llm-{slot}",
                    "replicas": 1,
                    "minReplicas": 1,
                    "maxReplicas": 1,
                    "rayStartParams": {},
                    "template": _template(
                        "ray-worker",
                        8080,
                        volumeMounts=[{"name": "models", "mountPath": "/models"}],
                    ),
                }
                for slot in range(2)
            ],
        },
    },
}


class Lab:
    """The service, the agent's files, and what a test does with them."""

    def __init__(self, agent: Path, folder: Path, api: Api, fake: FakeKubernetes) -> None:
        self.api, self.fake = api, fake
        self.agent = agent
        self.state = folder / "state"
        self.truth_path = folder / "ground_truth.json"
        self.file = folder / "cluster.json"
        self.describe()

    def describe(self, **facts: object) -> None:
        """Write ``cluster.json``."""
        told = {
            "format": 1,
            "kubeconfig": self.api.kubeconfig,
            "context": None,
            "namespace": "llm",
            "service": "llm",
            "deny": [],
            "prometheus": None,
            "grafana": None,
            "node_agent": str(self.agent),
        }
        self.file.write_text(json.dumps({**told, **facts}), encoding="utf-8")

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, str(self.agent), verb, "--state-dir", str(self.state), *arguments]

    def run(
        self, fault: str, target: str = COMPONENT, *arguments: str, **parameters: object
    ) -> subprocess.Popen[str]:
        """Start the agent on a fault."""
        command = self.command(
            "run", "--cluster", str(self.file), "--truth", str(self.truth_path), *arguments
        )
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        spec = {"fault": fault, "target": target, "parameters": parameters, "confirm": target}
        process.stdin.write(json.dumps(spec))
        process.stdin.close()
        process.stdin = None
        return process

    def effective(
        self, fault: str, target: str = COMPONENT, **parameters: object
    ) -> dict[str, Any]:
        """Do a fault to its end, which has to be a good one, and return its truth."""
        run = self.run(fault, target, **parameters)
        output, complaint = run.communicate(timeout=60)
        assert run.returncode == 0, output + complaint
        truth: dict[str, Any] = json.loads(output)
        assert truth["outcome"] == "effective"
        return truth

    def states(self) -> list[str]:
        path = self.state / "journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line)["state"] for line in lines[:-1]]

    def await_state(self, state: str) -> None:
        wait_for(lambda: state in self.states(), f"state {state}")

    def watchdog(self) -> int | None:
        for file in self.state.glob("windows/*/watchdog.json"):
            return int(json.loads(file.read_text(encoding="utf-8"))["pid"])
        return None

    def kill_all(self, run: subprocess.Popen[str]) -> None:
        """Kill an active fault's watchdog and its agent: nobody on this machine ends it then."""
        self.await_state("ACTIVE")
        watchdog = self.watchdog()
        assert watchdog is not None
        for pid in (watchdog, run.pid):
            os.kill(pid, signal.SIGKILL)
        run.communicate()

    def objects(self, *kinds: str) -> list[dict[str, Any]]:
        return [obj for kind in kinds for obj in self.api.objects(KINDS[kind], "llm")]

    def left(self) -> list[str]:
        """Name the objects of faults that are there."""
        kinds = ("NetworkChaos", "StressChaos", "PodChaos", "IOChaos", "DNSChaos", "TimeChaos")
        return [obj["metadata"]["name"] for obj in self.objects(*kinds, "Lease", "Job")]


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {timeout_s} s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Say whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
