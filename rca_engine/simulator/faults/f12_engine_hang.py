# SPDX-License-Identifier: Apache-2.0
"""F12: the engine core stops (SIGSTOP) while its process lives."""

from __future__ import annotations

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class EngineHang(Fault):
    """Stop a replica's engine core."""

    id = "F12"
    name = "engine_hang"
    layer = "process"
    summary = "The engine core is stopped and goes on later."
    symptoms = (
        "Requests run and no token comes; GPU utilisation is 0; no error until clients "
        "time out; health checks fail."
    )
    targets = ("replica",)
    metrics = (
        "engine_generation_tokens_rate",
        "health_check_failures_rate",
        "cpu_usage_cores",
    )

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.freeze(cluster.replica(self.target), now)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.thaw(cluster.replica(self.target), now)
