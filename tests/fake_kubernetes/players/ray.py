# SPDX-License-Identifier: Apache-2.0
"""KubeRay: a RayService becomes a RayCluster, that becomes pods and services.

Names, labels and conditions are those of KubeRay 1.7. A new cluster specification makes a new
cluster and drops the old one in one step; the numbers of workers in a cluster that is there are
left to whoever scales it. Applications run at once, but for engines of more than a million tokens,
which no model has.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from tests.fake_kubernetes import clock
from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, holds, placed
from tests.fake_kubernetes.operators import is_watched
from tests.fake_kubernetes.storage import Object

from . import plays
from .pods import pod_from
from .workloads import template_hash

_OPERATOR = "kuberay-operator"
_LONGEST = 1_000_000
_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": 8000}


@plays("ray.io", "RayService")
def ray_service(cluster: Cluster, obj: Object) -> None:
    """Play a RayService."""
    if not is_watched(cluster, _OPERATOR):
        return
    metadata, spec = obj["metadata"], obj["spec"]
    namespace, config = metadata["namespace"], spec["rayClusterConfig"]
    name = f"{metadata['name']}-{_cluster_hash(config)[:5]}"
    for other in cluster.dependents(obj, "ray.io", "RayCluster"):
        if other["metadata"]["name"] != name:
            cluster.delete(other)
    current = cluster.find("ray.io", "RayCluster", name, namespace)
    if current is None:
        labels = {
            "ray.io/originated-from-crd": "RayService",
            "ray.io/originated-from-cr-name": metadata["name"],
        }
        current = cluster.make(
            {
                "apiVersion": obj["apiVersion"],
                "kind": "RayCluster",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": copy.deepcopy(config),
            },
            owner=obj,
        )
    endpoints = _endpoints(cluster, current, spec.get("excludeHeadPodFromServeSvc", False))
    ready = endpoints > 0 and holds(current, "RayClusterProvisioned")
    if ready:
        for suffix, target in (("head-svc", "head"), ("serve-svc", "serve")):
            _service(cluster, obj, f"{metadata['name']}-{suffix}", name, target)
    cluster.change(obj, status=_service_status(obj, current, endpoints if ready else 0))


def _cluster_hash(config: Object) -> str:
    """Digest what a change of needs another cluster: all but the numbers of workers."""
    fixed = copy.deepcopy(config)
    for group in fixed.get("workerGroupSpecs") or []:
        for field in ("replicas", "minReplicas", "maxReplicas", "scaleStrategy"):
            group.pop(field, None)
    return template_hash(fixed)


def _endpoints(cluster: Cluster, ray_cluster: Object, exclude_head: bool) -> int:
    pods = cluster.dependents(ray_cluster, "", "Pod")
    return sum(
        holds(pod, "Ready")
        for pod in pods
        if not (exclude_head and pod["metadata"]["labels"]["ray.io/node-type"] == "head")
    )


def _service_status(obj: Object, ray_cluster: Object, endpoints: int) -> dict[str, Any]:
    old = obj.get("status", {})
    name = ray_cluster["metadata"]["name"]
    if endpoints:
        ready = condition("Ready", True, "NonZeroServeEndpoints", "endpoints are there")
    else:
        was_ready = any(c["type"] == "Ready" for c in old.get("conditions", []))
        was_ready = was_ready and old.get("numServeEndpoints", 0) > 0
        reason = "ZeroServeEndpoints" if was_ready else "Initializing"
        ready = condition("Ready", False, reason, "no endpoint of Ray Serve yet")
    upgrade = condition("UpgradeInProgress", False, "NoPendingCluster", "no upgrade")
    in_cluster = {
        "rayClusterName": name,
        "rayClusterStatus": {
            key: value
            for key, value in ray_cluster.get("status", {}).items()
            if key in ("availableWorkerReplicas", "desiredWorkerReplicas", "head", "state")
        },
    }
    status: dict[str, Any] = {
        "observedGeneration": obj["metadata"]["generation"],
        "numServeEndpoints": endpoints,
        "conditions": placed(old.get("conditions"), ready, upgrade),
        "lastUpdateTime": old.get("lastUpdateTime") or clock.now(),
    }
    if endpoints:
        in_cluster["applicationStatuses"] = _applications(obj["spec"].get("serveConfigV2", ""))
        return status | {"serviceStatus": "Running", "activeServiceStatus": in_cluster}
    return status | {"pendingServiceStatus": in_cluster}


def _applications(config: str) -> dict[str, Any]:
    found = {}
    for app in (yaml.safe_load(config) or {}).get("applications") or []:
        engines = (app.get("args") or {}).get("llm_configs") or []
        lengths = [(each.get("engine_kwargs") or {}).get("max_model_len", 0) for each in engines]
        fails = any(int(length) > _LONGEST for length in lengths)
        found[app["name"]] = {"status": "DEPLOY_FAILED" if fails else "RUNNING"}
    return found


@plays("ray.io", "RayCluster")
def ray_cluster(cluster: Cluster, obj: Object) -> None:
    """Play a RayCluster."""
    if not is_watched(cluster, _OPERATOR):
        return
    metadata, spec = obj["metadata"], obj["spec"]
    name, namespace = metadata["name"], metadata["namespace"]
    wanted: dict[str, tuple[Object, dict[str, str]]] = {}
    if not spec.get("suspend"):
        head = _labels(name, "head", "headgroup")
        wanted[f"{name}-head"] = (spec["headGroupSpec"]["template"], head)
        for group in spec.get("workerGroupSpecs") or []:
            labels = _labels(name, "worker", group["groupName"])
            for number in range(group.get("replicas", 0) * group.get("numOfHosts", 1)):
                # A number where KubeRay has a random end: the same pod in every run.
                pod_name = f"{name}-{group['groupName']}-worker-{number}"
                wanted[pod_name] = (group["template"], labels)
    for pod in cluster.dependents(obj, "", "Pod"):
        if pod["metadata"]["name"] not in wanted:
            cluster.delete(pod)
    for pod_name, (template, labels) in wanted.items():
        if not cluster.find("", "Pod", pod_name, namespace):
            pod = pod_from(template, pod_name, namespace)
            pod["metadata"]["labels"] = (pod["metadata"].get("labels") or {}) | labels
            cluster.make(pod, owner=obj)
    _service(cluster, obj, f"{name}-head-svc", name, "head")
    cluster.change(obj, status=_cluster_status(cluster, obj, len(wanted) - 1))


def _labels(name: str, node_type: str, group: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/created-by": "kuberay-operator",
        "app.kubernetes.io/name": "kuberay",
        "ray.io/cluster": name,
        "ray.io/group": group,
        "ray.io/identifier": f"{name}-{node_type}",
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": node_type,
        "ray.io/serve": "true",
    }


def _service(cluster: Cluster, owner: Object, name: str, ray_cluster: str, target: str) -> None:
    """Make or turn a service to the head, or to all pods that serve."""
    namespace = owner["metadata"]["namespace"]
    if target == "head":
        selector = {"ray.io/cluster": ray_cluster, "ray.io/node-type": "head"}
        ports = _HEAD_PORTS
    else:
        selector = {"ray.io/cluster": ray_cluster, "ray.io/serve": "true"}
        ports = {"serve": 8000}
    found = cluster.find("", "Service", name, namespace)
    if found is not None:
        cluster.change(found, spec=found["spec"] | {"selector": selector})
        return
    listed = [
        {"name": port, "port": number, "targetPort": number, "protocol": "TCP"}
        for port, number in ports.items()
    ]
    cluster.make(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "ClusterIP", "selector": selector, "ports": listed},
        },
        owner=owner,
    )


def _cluster_status(cluster: Cluster, obj: Object, workers: int) -> dict[str, Any]:
    old, name = obj.get("status", {}), obj["metadata"]["name"]
    pods = cluster.dependents(obj, "", "Pod")
    heads = [p for p in pods if p["metadata"]["labels"]["ray.io/node-type"] == "head"]
    ready = [pod for pod in pods if holds(pod, "Ready")]
    head_ready = any(pod in ready for pod in heads)
    ready_workers = len(ready) - head_ready
    provisioned = head_ready and ready_workers >= workers
    status: dict[str, Any] = {
        "observedGeneration": obj["metadata"]["generation"],
        "desiredWorkerReplicas": max(workers, 0),
        "availableWorkerReplicas": ready_workers,
        "readyWorkerReplicas": ready_workers,
        "lastUpdateTime": old.get("lastUpdateTime") or clock.now(),
        "head": {
            "podName": f"{name}-head",
            "podIP": heads[0].get("status", {}).get("podIP", "") if heads else "",
            "serviceName": f"{name}-head-svc",
        },
        "conditions": placed(
            old.get("conditions"),
            condition(
                "HeadPodReady",
                head_ready,
                "HeadPodRunningAndReady" if head_ready else "ContainersNotReady",
            ),
            condition(
                "RayClusterProvisioned",
                provisioned,
                "AllPodRunningAndReadyFirstTime" if provisioned else "RayClusterPodsProvisioning",
            ),
        ),
    }
    if obj["spec"].get("suspend"):
        return status | {"state": "suspended"}
    return status | {"state": "ready"} if provisioned else status
