# SPDX-License-Identifier: Apache-2.0
"""F02: something else on a node uses its CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class CpuNoisyNeighbour(Fault):
    """Crowd a node's CPUs."""

    id = "F02"
    name = "cpu_noisy_neighbour"
    layer = "node"
    summary = "A job outside the lab's pods uses all CPUs of a node."
    symptoms = (
        "The node's CPU pressure, utilisation and load rise; every replica on it slows, "
        "those on other nodes do not; no pod is throttled."
    )
    targets = ("node",)
    metrics = (
        "node_pressure_cpu_waiting_rate",
        "node_cpu_utilisation",
        "node_load1",
    )
    defaults: ClassVar[Mapping[str, float]] = {"cpu_share": 0.2}

    def _give(self, cluster: Cluster, now: float) -> None:
        node = cluster.nodes[self.target]
        node.neighbour_cores.set(now, node.cores)
        node.cpu_share.set(now, self.parameters["cpu_share"])
        for replica in cluster.on_node(self.target):
            replica.engine.speed.cpu_share.set(now, self.parameters["cpu_share"])

    def _revert(self, cluster: Cluster, now: float) -> None:
        node = cluster.nodes[self.target]
        node.neighbour_cores.restore(now)
        node.cpu_share.restore(now)
        for replica in cluster.on_node(self.target):
            replica.engine.speed.cpu_share.restore(now)
