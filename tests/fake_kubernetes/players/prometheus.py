# SPDX-License-Identifier: Apache-2.0
"""The Prometheus operator: a Prometheus becomes available."""

from __future__ import annotations

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, placed
from tests.fake_kubernetes.operators import is_watched
from tests.fake_kubernetes.storage import Object

from . import plays


@plays("monitoring.coreos.com", "Prometheus")
def prometheus(cluster: Cluster, obj: Object) -> None:
    """Play a Prometheus without its pods."""
    if not is_watched(cluster, "kube-prometheus-stack"):
        return
    ready = not cluster.is_stuck(obj)
    status = {
        "conditions": placed(
            obj.get("status", {}).get("conditions"),
            condition("Available", ready),
            condition("Reconciled", True),
        )
    }
    cluster.change(obj, status=status)
