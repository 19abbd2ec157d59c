# SPDX-License-Identifier: Apache-2.0
"""F18: the GPU's power limit is lowered, which prefill feels and decode hardly (physics 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.devices import PREFILL_W, capped_speed
from rca_engine.simulator.faults._base import Fault


class GpuPowerCap(Fault):
    """Lower a GPU's power limit."""

    id = "F18"
    name = "gpu_power_cap"
    layer = "gpu"
    summary = "The GPU's power limit is lowered."
    symptoms = (
        "The limit falls and the clocks-event reason says so; prefill and time to first "
        "token rise; time between tokens hardly moves, and the client's SLO may hold."
    )
    targets = ("gpu",)
    metrics = (
        "gpu_power_limit_w",
        "gpu_clocks_event_reasons",
    )
    defaults: ClassVar[Mapping[str, float]] = {"limit_w": 100.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        limit = self.parameters["limit_w"]
        cluster.gpus[self.target].power_limit_w.set(now, limit)
        speed = cluster.replica_of_gpu(self.target).engine.speed
        speed.compute.set(now, capped_speed(limit, PREFILL_W))

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.gpus[self.target].power_limit_w.restore(now)
        cluster.replica_of_gpu(self.target).engine.speed.compute.restore(now)
