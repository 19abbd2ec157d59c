# SPDX-License-Identifier: Apache-2.0
"""F17: the GPU's clock is locked low (nvidia-smi -lgc), which decode feels too (physics 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class GpuClockLock(Fault):
    """Lock a GPU's clock."""

    id = "F17"
    name = "gpu_clock_lock"
    layer = "gpu"
    summary = "The GPU's SM clock is locked at a share of its boost clock."
    symptoms = (
        "SM clock and power fall while utilisation stays or rises; inter-token latency rises."
    )
    targets = ("gpu",)
    metrics = (
        "gpu_sm_clock_mhz",
        "gpu_clocks_event_reasons",
    )
    defaults: ClassVar[Mapping[str, float]] = {"clock_ratio": 0.2}

    def _give(self, cluster: Cluster, now: float) -> None:
        ratio = self.parameters["clock_ratio"]
        cluster.gpus[self.target].clock.set(now, ratio)
        speed = cluster.replica_of_gpu(self.target).engine.speed
        speed.compute.set(now, ratio)
        # Memory keeps its own clock, but at a low SM clock too few requests for it are in flight.
        speed.memory.set(now, ratio**0.9)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.gpus[self.target].clock.restore(now)
        speed = cluster.replica_of_gpu(self.target).engine.speed
        speed.compute.restore(now)
        speed.memory.restore(now)
