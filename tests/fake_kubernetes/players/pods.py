# SPDX-License-Identifier: Apache-2.0
"""A pod finds a node that has what it asks for, and runs there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.fake_kubernetes import clock
from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, placed
from tests.fake_kubernetes.nodes import quantity
from tests.fake_kubernetes.storage import Object

from . import plays

_DONE = ("Succeeded", "Failed")


def pod_from(template: Object, name: str, namespace: str) -> Object:
    """Return the pod that a template of pods describes."""
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    metadata |= {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def requests(spec: Object) -> Counter[str]:
    """Return what the containers of a pod ask for together."""
    wanted: Counter[str] = Counter()
    for container in spec.get("containers") or []:
        resources = container.get("resources") or {}
        # A limit without a request is the request.
        asked = (resources.get("limits") or {}) | (resources.get("requests") or {})
        for name, value in asked.items():
            wanted[name] += quantity(value)  # type: ignore[assignment]
    return wanted


def tolerated(spec: Object, node: Object) -> bool:
    """Whether a pod may run on a node in spite of its taints."""
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] == "PreferNoSchedule":
            continue
        for toleration in spec.get("tolerations") or []:
            if toleration.get("effect") not in (None, "", taint["effect"]):
                continue
            if toleration.get("key") in (None, "", taint["key"]):
                break
        else:
            return False
    return True


def selects(spec: Object, node: Object) -> bool:
    """Whether a pod's node selector fits a node."""
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(k) == v for k, v in (spec.get("nodeSelector") or {}).items())


def _refusal(cluster: Cluster, pod: Object, node: Object) -> str:
    """Return why a pod cannot run on a node, or nothing."""
    spec = pod["spec"]
    if not selects(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    if not tolerated(spec, node):
        return "node(s) had untolerated taint(s)"
    used: Counter[str] = Counter()
    for other in cluster.objects("", "Pod"):
        at = other["spec"].get("nodeName")
        running = other.get("status", {}).get("phase") not in _DONE
        if at == node["metadata"]["name"] and running:
            used += requests(other["spec"])
    allocatable = node["status"]["allocatable"]
    for name, amount in requests(spec).items():
        if used[name] + amount > quantity(allocatable.get(name, 0)):
            return f"Insufficient {name}"
    return ""


@plays("", "Pod")
def pod(cluster: Cluster, obj: Object) -> None:
    """Play a pod: find it a node, and let it run."""
    if obj.get("status", {}).get("phase") in _DONE:
        return
    if not obj["spec"].get("nodeName"):
        placed_on = _schedule(cluster, obj)
        if placed_on is None:
            return
        obj = placed_on
    ready = not cluster.is_stuck(obj)
    cluster.change(obj, status=_status(obj, ready))


def _schedule(cluster: Cluster, obj: Object) -> Object | None:
    nodes = cluster.objects("", "Node")
    refusals: Counter[str] = Counter()
    for node in nodes:
        refusal = _refusal(cluster, obj, node)
        if not refusal:
            return cluster.change(obj, spec=obj["spec"] | {"nodeName": node["metadata"]["name"]})
        refusals[refusal] += 1
    reasons = ", ".join(f"{count} {why}" for why, count in refusals.items())
    message = f"0/{len(nodes)} nodes are available: {reasons}."
    old = obj.get("status", {})
    scheduled = condition("PodScheduled", False, "Unschedulable", message)
    conditions = placed(old.get("conditions"), scheduled)
    if old.get("conditions") != conditions:
        cluster.change(obj, status={"phase": "Pending", "conditions": conditions})
        cluster.event(obj, "Warning", "FailedScheduling", message)
    return None


def _status(obj: Object, ready: bool) -> dict[str, Any]:
    old = obj.get("status", {})
    started = old.get("startTime") or clock.now()
    number = int(obj["metadata"]["uid"][:4], 16)
    reason = "" if ready else "ContainersNotReady"
    return {
        "phase": "Running",
        "qosClass": "Burstable",
        "podIP": f"10.42.{number // 256}.{number % 256}",
        "startTime": started,
        "conditions": placed(
            old.get("conditions"),
            condition("PodScheduled", True),
            condition("Initialized", True),
            condition("ContainersReady", ready, reason),
            condition("Ready", ready, reason),
        ),
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "imageID": "",
                "containerID": f"containerd://{obj['metadata']['uid']}-{container['name']}",
                "ready": ready,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": started}},
            }
            for container in obj["spec"].get("containers") or []
        ],
    }
