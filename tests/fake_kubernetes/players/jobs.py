# SPDX-License-Identifier: Apache-2.0
"""A job runs its pods to their end, unless the script keeps it from that."""

from __future__ import annotations

from tests.fake_kubernetes import clock
from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, holds
from tests.fake_kubernetes.storage import Object

from . import plays
from .pods import pod_from

_INDEX = "batch.kubernetes.io/job-completion-index"


@plays("batch", "Job")
def job(cluster: Cluster, obj: Object) -> None:
    """Play a Job."""
    metadata, spec = obj["metadata"], obj["spec"]
    if holds(obj, "Complete"):
        return
    if spec.get("suspend"):
        cluster.change(obj, status={"conditions": [condition("Suspended", True, "JobSuspended")]})
        return
    pods = cluster.dependents(obj, "", "Pod")
    indexed = spec.get("completionMode") == "Indexed"
    for index in range(len(pods), spec["completions"]):
        name = f"{metadata['name']}-{index}" if indexed else metadata["name"]
        pod = pod_from(spec["template"], f"{name}-{cluster.suffix()}", metadata["namespace"])
        labels = {"job-name": metadata["name"], "batch.kubernetes.io/job-name": metadata["name"]}
        if indexed:
            labels[_INDEX] = str(index)
            annotations = pod["metadata"].get("annotations") or {}
            pod["metadata"]["annotations"] = annotations | {_INDEX: str(index)}
        pod["metadata"]["labels"] = (pod["metadata"].get("labels") or {}) | labels
        cluster.make(pod, owner=obj)
    started = obj.get("status", {}).get("startTime") or clock.now()
    pods = cluster.dependents(obj, "", "Pod")
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    if len(running) < spec["completions"] or cluster.is_stuck(obj):
        cluster.change(obj, status={"active": len(pods), "startTime": started})
        return
    for pod in running:
        cluster.change(pod, status=pod["status"] | {"phase": "Succeeded"})
    status = {
        "startTime": started,
        "completionTime": clock.now(),
        "succeeded": spec["completions"],
        "conditions": [
            condition("SuccessCriteriaMet", True, "CompletionsReached"),
            condition("Complete", True, "CompletionsReached"),
        ],
    }
    cluster.change(obj, status=status)
