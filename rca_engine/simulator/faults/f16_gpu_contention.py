# SPDX-License-Identifier: Apache-2.0
"""F16: another process computes on the replica's GPU and takes turns with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class GpuContention(Fault):
    """Share a replica's GPU with another process."""

    id = "F16"
    name = "gpu_contention"
    layer = "gpu"
    summary = "A second process takes a share of the GPU's time."
    symptoms = (
        "GPU utilisation goes to 100 % and power up at the normal clock; its "
        "framebuffer fills; inter-token latency rises, tokens a second fall."
    )
    targets = ("gpu",)
    metrics = (
        "gpu_power_w",
        "gpu_utilisation_percent",
        "gpu_framebuffer_used_mib",
    )
    defaults: ClassVar[Mapping[str, float]] = {"share": 0.75}

    def _give(self, cluster: Cluster, now: float) -> None:
        share = self.parameters["share"]
        gpu = cluster.gpus[self.target]
        gpu.intruder.set(now, share)
        gpu.ballast_mib.set(now, 2_000.0)
        speed = cluster.replica_of_gpu(self.target).engine.speed
        speed.compute.set(now, 1 - share)
        speed.memory.set(now, 1 - share)

    def _revert(self, cluster: Cluster, now: float) -> None:
        gpu = cluster.gpus[self.target]
        gpu.intruder.restore(now)
        gpu.ballast_mib.restore(now)
        speed = cluster.replica_of_gpu(self.target).engine.speed
        speed.compute.restore(now)
        speed.memory.restore(now)
