# SPDX-License-Identifier: Apache-2.0
"""F01: a pod gets less CPU than it asks for.

Tokenising, scheduling and detokenising run on the CPU: the GPU waits for them (physics 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class CpuStarvation(Fault):
    """Hold a replica's pod to a share of a core."""

    id = "F01"
    name = "cpu_starvation"
    layer = "container"
    summary = "The replica's pod may use no more than a part of a core."
    symptoms = (
        "Throttled periods and time rise; GPU utilisation falls; inter-token latency "
        "and time to first token rise; requests still run. The pod's own metrics agent "
        "misses scrapes."
    )
    targets = ("replica",)
    metrics = (
        "cpu_throttled_periods_rate",
        "cpu_throttled_seconds_rate",
        "cpu_usage_cores",
    )
    defaults: ClassVar[Mapping[str, float]] = {"cpu_limit_cores": 0.2}

    def _give(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        replica.engine.speed.cpu_quota.set(now, self.parameters["cpu_limit_cores"])
        cluster.at(now + 8, lambda late: replica.scraped.set(late, 0.0))
        cluster.at(now + 14, lambda late: replica.scraped.set(late, 1.0))

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.replica(self.target).engine.speed.cpu_quota.restore(now)
