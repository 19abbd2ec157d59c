# SPDX-License-Identifier: Apache-2.0
"""F04: a pod's memory passes its limit and the kernel kills the engine.

Its label differs from F03's by the kill counter, not by the working set (physics 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class OomKill(Fault):
    """Have a replica's engine killed for memory."""

    id = "F04"
    name = "oom_kill"
    layer = "container"
    summary = "The replica's memory grows past its limit; the engine is killed and starts again."
    symptoms = (
        "OOM kills and restarts count up; its metrics vanish (up is 0) until it is "
        "back; requests in it fail; the others' load rises."
    )
    targets = ("replica",)
    metrics = (
        "oom_kills_rate",
        "restarts_rate",
        "memory_working_set_bytes",
        "up",
    )
    defaults: ClassVar[Mapping[str, float]] = {"restart_s": 35.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        replica.ballast_bytes.set(now, 9 * 2**30)
        replica.memory_stall.set(now, 0.2)
        cluster.at(now + 2, partial(self._kill, cluster))

    def _kill(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        replica.oom_kills.append(now)
        cluster.event(now, self.target, "OOMKilling", "Memory cgroup out of memory: killed engine")
        cluster.crash(replica, now, why="OOMKilled", down_s=self.parameters["restart_s"])

    def _revert(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        replica.ballast_bytes.restore(now)
        replica.memory_stall.restore(now)
