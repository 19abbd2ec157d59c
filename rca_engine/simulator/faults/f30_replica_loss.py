# SPDX-License-Identifier: Apache-2.0
"""F30: the service loses replicas that it is not given back: scaled down, cordoned, or no quota."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault
from rca_engine.simulator.replica import Replica


class ReplicaLoss(Fault):
    """Take replicas out of service."""

    id = "F30"
    name = "replica_loss"
    layer = "capacity"
    summary = "Replicas are taken out of service; the last ones first."
    symptoms = (
        "Fewer replicas are healthy than desired or than before; their series end; "
        "scheduling fails; the others' load rises."
    )
    targets = ("service",)
    metrics = ("service_replicas_healthy",)
    defaults: ClassVar[Mapping[str, float]] = {"replicas": 2.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        lost = self._lost(cluster)
        for replica in lost:
            cluster.retire(replica, now)
        cluster.event(now, self.target, "ScalingReplicaSet", f"Scaled down by {len(lost)}")
        cluster.event(now + 1, self.target, "FailedScheduling", "0/2 nodes are available")

    def _revert(self, cluster: Cluster, now: float) -> None:
        for replica in self._lost(cluster):
            cluster.start(replica, now)

    def _lost(self, cluster: Cluster) -> list[Replica]:
        most = len(cluster.replicas) - 1
        lost = min(int(self.parameters["replicas"]), most)
        return cluster.replicas[len(cluster.replicas) - lost :]
