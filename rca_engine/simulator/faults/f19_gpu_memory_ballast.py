# SPDX-License-Identifier: Apache-2.0
"""F19: another process holds GPU memory, so that a restarted engine can't reserve its KV cache.

A running engine does not mind, for it reserved its blocks at its start (physics 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault
from rca_engine.simulator.faults._crash_loop import crash_loop


class GpuMemoryBallast(Fault):
    """Hold a GPU's memory, then restart its engine."""

    id = "F19"
    name = "gpu_memory_ballast"
    layer = "gpu"
    summary = "Another process holds GPU memory; then the engine restarts and can't."
    symptoms = (
        "The framebuffer fills first and nothing happens; after the restart the engine "
        "fails again and again for want of memory."
    )
    targets = ("gpu",)
    metrics = ("gpu_framebuffer_used_mib",)
    defaults: ClassVar[Mapping[str, float]] = {"ballast_mib": 15000.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        ballast = cluster.gpus[self.target].ballast_mib
        ballast.set(now, self.parameters["ballast_mib"])
        replica = cluster.replica_of_gpu(self.target)
        cluster.at(now + 10, partial(cluster.crash, replica, why="restart", down_s=None))
        message = "ValueError: No available memory for the cache blocks"
        cluster.at(now + 15, partial(crash_loop, cluster, replica, ballast, message))

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.gpus[self.target].ballast_mib.restore(now)
        cluster.start(cluster.replica_of_gpu(self.target), now)
