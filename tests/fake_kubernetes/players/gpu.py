# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's GPU operator: a ClusterPolicy becomes ready, and a runtime class comes with it."""

from __future__ import annotations

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, placed
from tests.fake_kubernetes.operators import is_watched, operator_of
from tests.fake_kubernetes.storage import Object

from . import plays

_OPERATOR = "gpu-operator"


@plays("nvidia.com", "ClusterPolicy")
def cluster_policy(cluster: Cluster, obj: Object) -> None:
    """Play a ClusterPolicy. The devices themselves are what the nodes say that they have."""
    if not is_watched(cluster, _OPERATOR):
        return
    if not cluster.find("node.k8s.io", "RuntimeClass", "nvidia"):
        metadata = {"name": "nvidia"}
        made = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": metadata}
        cluster.make(made | {"handler": "nvidia"}, owner=obj)
    ready = not cluster.is_stuck(obj)
    operator = operator_of(cluster, _OPERATOR)
    status = {
        "namespace": operator["metadata"]["namespace"] if operator else "gpu-operator",
        "state": "ready" if ready else "notReady",
        "conditions": placed(
            obj.get("status", {}).get("conditions"),
            condition("Ready", ready, "Reconciled" if ready else "OperandNotReady"),
            condition("Error", False, "Ready" if ready else "OperandNotReady"),
        ),
    }
    cluster.change(obj, status=status)
