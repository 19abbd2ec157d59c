# SPDX-License-Identifier: Apache-2.0
"""F03: something in a pod takes memory, up to a headroom below the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class MemoryPressure(Fault):
    """Fill a pod's memory without an OOM kill."""

    id = "F03"
    name = "memory_pressure"
    layer = "container"
    summary = "Memory of the replica's pod is filled up to a headroom."
    symptoms = "Working set and memory pressure rise; latency hardly moves; nothing restarts."
    targets = ("replica",)
    metrics = (
        "memory_working_set_bytes",
        "memory_pressure_waiting_rate",
    )
    defaults: ClassVar[Mapping[str, float]] = {"ballast_gib": 8.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        replica.ballast_bytes.set(now, self.parameters["ballast_gib"] * 2**30)
        replica.memory_stall.set(now, 0.08)
        replica.engine.speed.cpu_share.set(now, 0.92)

    def _revert(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        replica.ballast_bytes.restore(now)
        replica.memory_stall.restore(now)
        replica.engine.speed.cpu_share.restore(now)
