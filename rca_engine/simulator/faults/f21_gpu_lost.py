# SPDX-License-Identifier: Apache-2.0
"""F21: a GPU falls off the bus: an XID error, and an engine that dies and can't start again."""

from __future__ import annotations

from functools import partial

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault
from rca_engine.simulator.faults._crash_loop import crash_loop

_FALLEN_OFF_THE_BUS = 79.0


class GpuLost(Fault):
    """Lose a GPU under a replica."""

    id = "F21"
    name = "gpu_lost"
    layer = "gpu"
    summary = "The GPU falls off the bus (XID 79)."
    symptoms = (
        "The GPU shows an XID error; its engine dies (EngineDeadError) and restarts in vain; "
        "requests in it fail; the others' load rises."
    )
    targets = ("gpu",)
    metrics = ("gpu_xid_errors",)

    def _give(self, cluster: Cluster, now: float) -> None:
        xid = cluster.gpus[self.target].xid
        xid.set(now, _FALLEN_OFF_THE_BUS)
        replica = cluster.replica_of_gpu(self.target)
        cluster.log(now, replica.node, "error", "NVRM: Xid: 79, GPU has fallen off the bus")
        cluster.log(now, replica.id, "error", "EngineDeadError: EngineCore encountered an issue")
        cluster.crash(replica, now, why="EngineDeadError", down_s=None)
        message = "RuntimeError: CUDA error: no CUDA-capable device is detected"
        cluster.at(now + 5, partial(crash_loop, cluster, replica, xid, message))

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.gpus[self.target].xid.restore(now)
        cluster.start(cluster.replica_of_gpu(self.target), now)
