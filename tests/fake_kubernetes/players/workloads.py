# SPDX-License-Identifier: Apache-2.0
"""What keeps pods alive: Deployment, ReplicaSet, StatefulSet, DaemonSet."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, holds, placed
from tests.fake_kubernetes.nodes import NETWORK
from tests.fake_kubernetes.storage import Object

from . import plays
from .pods import pod_from, selects, tolerated

_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


def template_hash(template: Object) -> str:
    """Return the short digest by which pods of one template know each other."""
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:9]


def _labelled(template: Object, digest: str) -> Object:
    metadata = template.get("metadata") or {}
    labels = (metadata.get("labels") or {}) | {_HASH: digest}
    return template | {"metadata": metadata | {"labels": labels}}


@plays("apps", "Deployment")
def deployment(cluster: Cluster, obj: Object) -> None:
    """Play a Deployment: one ReplicaSet of its present template, the older ones at zero."""
    spec, metadata = obj["spec"], obj["metadata"]
    digest = template_hash(spec["template"])
    name = f"{metadata['name']}-{digest}"
    sets = cluster.dependents(obj, "apps", "ReplicaSet")
    for old in sets:
        replicas = spec["replicas"] if old["metadata"]["name"] == name else 0
        if old["spec"]["replicas"] != replicas:
            generation = old["metadata"]["generation"] + 1
            raised = old | {"metadata": old["metadata"] | {"generation": generation}}
            cluster.change(raised, spec=old["spec"] | {"replicas": replicas})
    if all(old["metadata"]["name"] != name for old in sets):
        template = _labelled(spec["template"], digest)
        labels = template["metadata"]["labels"]
        matched = (spec["selector"].get("matchLabels") or {}) | {_HASH: digest}
        cluster.make(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": name,
                    "namespace": metadata["namespace"],
                    "labels": labels,
                    "annotations": {_REVISION: str(len(sets) + 1)},
                },
                "spec": {
                    "replicas": spec["replicas"],
                    "selector": spec["selector"] | {"matchLabels": matched},
                    "template": template,
                },
            },
            owner=obj,
        )
    current = cluster.find("apps", "ReplicaSet", name, metadata["namespace"]) or {}
    ready = current.get("status", {}).get("readyReplicas", 0)
    complete = ready >= spec["replicas"]
    counts = {"replicas": spec["replicas"], "updatedReplicas": spec["replicas"]}
    progress = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
    available = "MinimumReplicasAvailable" if complete else "MinimumReplicasUnavailable"
    status = _counted(obj, counts, ready) | {
        "conditions": placed(
            obj.get("status", {}).get("conditions"),
            condition("Available", complete, available),
            condition("Progressing", True, progress),
        )
    }
    if not complete:
        status["unavailableReplicas"] = spec["replicas"] - ready
    if complete != holds(obj, "Available"):
        # It may be an operator, whose custom resources can go on now.
        cluster.notice_custom()
    annotations = (metadata.get("annotations") or {}) | {_REVISION: str(max(len(sets), 1))}
    cluster.change(obj, status=status, metadata=metadata | {"annotations": annotations})


def _counted(obj: Object, counts: dict[str, int], ready: int) -> dict[str, Any]:
    status: dict[str, Any] = {"observedGeneration": obj["metadata"]["generation"], **counts}
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    return status


def _ready(pods: list[Object]) -> int:
    return sum(holds(pod, "Ready") for pod in pods)


@plays("apps", "ReplicaSet")
def replica_set(cluster: Cluster, obj: Object) -> None:
    """Play a ReplicaSet: so many pods."""
    metadata, spec = obj["metadata"], obj["spec"]
    pods = cluster.dependents(obj, "", "Pod")
    for pod in pods[spec["replicas"] :]:
        cluster.delete(pod)
    for _ in range(spec["replicas"] - len(pods)):
        name = f"{metadata['name']}-{cluster.suffix()}"
        cluster.make(pod_from(spec["template"], name, metadata["namespace"]), owner=obj)
    pods = cluster.dependents(obj, "", "Pod")
    counts = {"replicas": len(pods), "fullyLabeledReplicas": len(pods)}
    cluster.change(obj, status=_counted(obj, counts, _ready(pods)))


@plays("apps", "StatefulSet")
def stateful_set(cluster: Cluster, obj: Object) -> None:
    """Play a StatefulSet: pods by number, each with its claims, which outlive it."""
    metadata, spec = obj["metadata"], obj["spec"]
    namespace, digest = metadata["namespace"], template_hash(spec["template"])
    pods = {pod["metadata"]["name"]: pod for pod in cluster.dependents(obj, "", "Pod")}
    wanted = [f"{metadata['name']}-{number}" for number in range(spec["replicas"])]
    for name, pod in pods.items():
        if name not in wanted or pod["metadata"]["labels"].get(_HASH) != digest:
            cluster.delete(pod)
    for name in wanted:
        for claim in spec.get("volumeClaimTemplates") or []:
            claim_name = f"{claim['metadata']['name']}-{name}"
            if not cluster.find("", "PersistentVolumeClaim", claim_name, namespace):
                made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
                named = {"name": claim_name, "namespace": namespace}
                cluster.make(made | {"metadata": named, "spec": claim["spec"]})
        if not cluster.find("", "Pod", name, namespace):
            template = _labelled(spec["template"], digest)
            cluster.make(pod_from(template, name, namespace), owner=obj)
    found = cluster.dependents(obj, "", "Pod")
    revision = f"{metadata['name']}-{digest}"
    counts = {
        "replicas": len(found),
        "currentReplicas": len(found),
        "updatedReplicas": len(found),
    }
    status = _counted(obj, counts, _ready(found))
    cluster.change(obj, status=status | {"currentRevision": revision, "updateRevision": revision})


@plays("apps", "DaemonSet")
def daemon_set(cluster: Cluster, obj: Object) -> None:
    """Play a DaemonSet: a pod on each node that its template fits."""
    metadata, spec = obj["metadata"], obj["spec"]
    digest = template_hash(spec["template"])
    pod_spec = spec["template"]["spec"]
    nodes = {
        node["metadata"]["name"]
        for node in cluster.objects("", "Node")
        if selects(pod_spec, node) and tolerated(pod_spec, node)
    }
    for pod in cluster.dependents(obj, "", "Pod"):
        fits = pod["spec"].get("nodeName") in nodes
        if fits and pod["metadata"]["labels"].get(_HASH) == digest:
            nodes.discard(pod["spec"]["nodeName"])
        else:
            cluster.delete(pod)
    for node_name in sorted(nodes):
        name = f"{metadata['name']}-{cluster.suffix()}"
        pod = pod_from(_labelled(spec["template"], digest), name, metadata["namespace"])
        pod["spec"] = pod["spec"] | {"nodeName": node_name}
        cluster.make(pod, owner=obj)
    pods = cluster.dependents(obj, "", "Pod")
    ready = _ready(pods)
    status = {
        "observedGeneration": metadata["generation"],
        "desiredNumberScheduled": len(pods),
        "currentNumberScheduled": len(pods),
        "updatedNumberScheduled": len(pods),
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": len(pods) - ready,
    }
    cluster.change(obj, status=status)
    _connect(cluster, metadata["name"], pods)


def _connect(cluster: Cluster, name: str, pods: list[Object]) -> None:
    """Make nodes ready that have waited for this DaemonSet to bring their network."""
    with_network = {pod["spec"]["nodeName"] for pod in pods if holds(pod, "Ready")}
    for node in cluster.objects("", "Node"):
        waits = (node["metadata"].get("annotations") or {}).get(NETWORK) == name
        if waits and node["metadata"]["name"] in with_network and not holds(node, "Ready"):
            conditions = placed(node["status"]["conditions"], condition("Ready", True))
            cluster.change(node, status=node["status"] | {"conditions": conditions})
