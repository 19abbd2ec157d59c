# SPDX-License-Identifier: Apache-2.0
"""F22: telemetry alone shows a GPU fault (dcgmi test --inject). The GPU is well.

Whoever names the GPU as the cause of something is gullible: nothing happens to the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class PhantomGpuFault(Fault):
    """Have a GPU's telemetry show a heat and an XID error that are not there."""

    id = "F22"
    name = "phantom_gpu_fault"
    layer = "observability"
    summary = "False values are injected into a GPU's telemetry."
    symptoms = (
        "The GPU's temperature and XID error jump at an unchanged power and clock; the service "
        "and its clients notice nothing."
    )
    targets = ("gpu",)
    metrics = ("gpu_temperature_c", "gpu_xid_errors")
    defaults: ClassVar[Mapping[str, float]] = {"false_heat_c": 45.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        gpu = cluster.gpus[self.target]
        gpu.false_heat_c.set(now, self.parameters["false_heat_c"])
        gpu.xid.set(now, 79.0)

    def _revert(self, cluster: Cluster, now: float) -> None:
        gpu = cluster.gpus[self.target]
        gpu.false_heat_c.restore(now)
        gpu.xid.restore(now)
