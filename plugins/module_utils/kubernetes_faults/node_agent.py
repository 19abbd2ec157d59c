# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that only the target's node can do: a privileged pod there runs the host's chaos agent.

The agent has its own watchdog there, so that its undo does not depend on the API server, nor on
this machine. Its journal is read as the pod's log, its truth as the message of the pod's end.
"""

from __future__ import annotations

import base64
import inspect
import json
import time
from collections.abc import Mapping
from pathlib import Path

from ..faults.contract import Target
from ..faults.errors import NotRevertedError, RefusedError
from ..faults.undo import Undo
from ..faults.undo_action import UndoAction
from . import on_node
from .api import CONFIG_MAP, POD, ApiError, Object
from .cluster import ClusterPod
from .fault import ClusterFault

_LOOK_S = 1.0
_ENDED = ("Succeeded", "Failed")
# What the agent on the node may take to put the pod back after it was told to end.
_GRACE_S = 30
_GPU_RESOURCE = "nvidia.com/gpu"
# What NVIDIA's runtime goes by: every GPU of the node, nvidia-smi and the driver's library.
_GPU_ENVIRONMENT = {
    "NVIDIA_VISIBLE_DEVICES": "all",
    "NVIDIA_DRIVER_CAPABILITIES": "utility,compute",
}


class NodeFault(ClusterFault):
    """A fault of the host's catalogue, done by the agent on the target's node."""

    requirements = (
        "The right to run a privileged pod in the lab's namespace, Python 3.11 in the image of the "
        "target, and on the node the kernel's cgroups at `/sys/fs/cgroup`."
    )
    give_deadline_s = 90.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._pod: ClusterPod = self.at.cluster_pod
        self._looked = 0.0
        self._journal: list[Object] = []
        self._truth: Object = {}

    def _agent(self) -> bytes:
        path = self.cluster.node_agent
        if path is None or not Path(path).is_file():
            raise RefusedError(
                f"there is no agent for nodes at {path}: run the role chaos_agent with "
                f"chaos_agent_platform: kubernetes"
            )
        return Path(path).read_bytes()

    def render(self) -> tuple[Object, Object]:
        """Return what the agent is given, and the pod that runs it."""
        metadata = self.metadata()
        spec = {
            "fault": self.id,
            "target": self._pod.component,
            "parameters": {name: self.values[name] for name in self.values},
            "confirm": self._pod.component,
        }
        status = self._pod.manifest.get("status") or {}
        target = {
            "uid": self._pod.uid,
            "component": self._pod.component,
            "address": status.get("podIP"),
        }
        given = {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.name,
            "metadata": metadata,
            "binaryData": {"agent.pyz": base64.b64encode(self._agent()).decode()},
            "data": {
                "on_node.py": inspect.getsource(on_node),
                "spec.json": json.dumps(spec),
                "target.json": json.dumps(target),
            },
        }
        mounts = {"agent": "/agent", "state": "/state", "cgroup": "/sys/fs/cgroup"}
        volumes: list[Object] = [
            {"name": "agent", "configMap": {"name": metadata["name"]}},
            # What is to be undone outlives the container, and its restart undoes it.
            {"name": "state", "emptyDir": {}},
            {"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup"}},
        ]
        # A node without GPUs may know no such runtime, and would not start the pod.
        sees_gpus = self.cluster.gpu_runtime is not None and bool(self._pod.limit(_GPU_RESOURCE))
        environment = _GPU_ENVIRONMENT.items() if sees_gpus else ()
        pod = {
            "apiVersion": POD.api_version,
            "kind": POD.name,
            "metadata": metadata,
            "spec": {
                "nodeName": self._pod.node,
                "hostPID": True,
                "restartPolicy": "OnFailure",
                "automountServiceAccountToken": False,
                "activeDeadlineSeconds": round(self.lifetime_s),
                "terminationGracePeriodSeconds": _GRACE_S,
                "tolerations": [{"operator": "Exists"}],
                **({"runtimeClassName": self.cluster.gpu_runtime} if sees_gpus else {}),
                "containers": [
                    {
                        "name": "agent",
                        "image": self._pod.container["image"],
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["python3", "/agent/on_node.py"],
                        "env": [{"name": name, "value": value} for name, value in environment],
                        "securityContext": {"privileged": True, "runAsUser": 0},
                        "volumeMounts": [
                            {"name": name, "mountPath": path} for name, path in mounts.items()
                        ],
                    }
                ],
                "volumes": volumes,
            },
        }
        return given, pod

    def preflight(self) -> None:
        super().preflight()
        try:
            for kind, obj in zip((CONFIG_MAP, POD), self.render(), strict=True):
                self.api.create(kind, obj, dry_run=True)
        except ApiError as error:
            raise RefusedError(f"the agent's pod would not be taken: {error}") from error
        except OSError as error:
            raise RefusedError(f"the cluster can't be asked: {error}") from error

    def _capture(self) -> tuple[UndoAction, ...]:
        return (self.made(POD), self.made(CONFIG_MAP))

    def _give(self) -> None:
        for kind, obj in zip((CONFIG_MAP, POD), self.render(), strict=True):
            self.api.create(kind, obj)

    def _look(self) -> None:
        """Read the agent's journal, and its truth once there is one."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        name = self.metadata()["name"]
        answer = self.api.request("GET", f"{POD.path(self._pod.namespace, name)}/log")
        if answer.status == 200:
            lines = (line for line in answer.data.splitlines() if line.startswith(b"{"))
            self._journal = [json.loads(line) for line in lines]
        found = self.api.get(POD, self._pod.namespace, name)
        if found is None:
            raise OSError(f"something else has deleted the agent's pod {name}")
        if (found.get("status") or {}).get("phase") in _ENDED:
            self._truth = _truth(ClusterPod(self._pod.component, found))

    def _time_of(self, state: str) -> str | None:
        return next((str(line["time"]) for line in self._journal if line["state"] == state), None)

    def missing_dose(self) -> str | None:
        self._look()
        if self._truth and self._truth.get("outcome") != "effective":
            said = "; ".join(self._truth.get("messages") or [])
            raise OSError(f"the agent on {self._pod.node} says: {said}")
        if self._time_of("ACTIVE") is None:
            last = self._journal[-1]["state"] if self._journal else "nothing yet"
            return f"the agent on {self._pod.node} says {last}"
        return None

    def given_at(self) -> str | None:
        return self._time_of("INJECTING")

    def verify_effect(self) -> bool:
        return self._time_of("ACTIVE") is not None

    def disturbance(self) -> str | None:
        self._look()
        if self._truth and self._truth.get("outcome") != "effective":
            return "; ".join(self._truth.get("messages") or ["the agent on the node has ended"])
        return None

    def is_over(self) -> bool:
        return bool(self._truth)

    def measured_dose(self) -> dict[str, float]:
        dose: dict[str, float] = (self._truth.get("dose") or {}).get("measured") or {}
        return dose

    def remarks(self) -> list[str]:
        told = (self._truth.get("times") or {}).items()
        return [
            *(self._truth.get("messages") or []),
            *(f"{name} on the node: {when}" for name, when in told if when),
        ]

    def verify_reverted(self, undo: Undo) -> None:
        super().verify_reverted(undo)
        if self._time_of("INJECTING") is None or not self._truth:
            return
        if not (self._truth.get("times") or {}).get("revert_verified"):
            raise NotRevertedError(f"the agent on {self._pod.node} has not put the pod back")


def _truth(pod: ClusterPod) -> Object:
    """Return what an agent has left at its end: its truth, or else what it complained of."""
    ended = (pod.status.get("state") or {}).get("terminated") or {}
    said = str(ended.get("message") or ended.get("reason") or "nothing")
    for line in reversed(said.splitlines()):
        if line.startswith("{"):
            found: Object = json.loads(line)
            return found
    return {"outcome": "aborted", "messages": [said]}
