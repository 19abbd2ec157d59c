# SPDX-License-Identifier: Apache-2.0
"""Istio: a Gateway is programmed, which for a waypoint means that its pods run."""

from __future__ import annotations

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, placed
from tests.fake_kubernetes.operators import is_watched
from tests.fake_kubernetes.storage import Object

from . import plays


@plays("gateway.networking.k8s.io", "Gateway")
def gateway(cluster: Cluster, obj: Object) -> None:
    """Play a Gateway without the pods that Istio makes for it."""
    if not is_watched(cluster, "istiod"):
        return
    ready = not cluster.is_stuck(obj)
    status = {
        "conditions": placed(
            obj.get("status", {}).get("conditions"),
            condition("Accepted", True, "Accepted"),
            condition("Programmed", ready, "Programmed" if ready else "Pending"),
        )
    }
    cluster.change(obj, status=status)
