# SPDX-License-Identifier: Apache-2.0
"""Whether an operator is there that looks after custom resources."""

from __future__ import annotations

from .cluster import Cluster
from .conditions import holds
from .storage import Object

LABEL = "app.kubernetes.io/name"


def operator_of(cluster: Cluster, name: str) -> Object | None:
    """Return an available Deployment of an operator, known by the label of all charts."""
    selector = {"matchLabels": {LABEL: name}}
    for deployment in cluster.objects("apps", "Deployment", selector=selector):
        if holds(deployment, "Available"):
            return deployment
    return None


def is_watched(cluster: Cluster, name: str) -> bool:
    """Whether an operator acts, by the cluster's settings or because it is installed."""
    return cluster.operators_always or operator_of(cluster, name) is not None
