# SPDX-License-Identifier: Apache-2.0
"""F11: a replica's process is killed, once; its start is the long tail (physics 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class ProcessKill(Fault):
    """Kill a replica's process."""

    id = "F11"
    name = "process_kill"
    layer = "process"
    summary = "The replica's process is killed once and starts again."
    symptoms = (
        "Its metrics vanish (up is 0) and its restarts count up; requests in it fail at "
        "once; the others' load rises until it is ready."
    )
    targets = ("replica",)
    metrics = (
        "restarts_rate",
        "up",
    )
    defaults: ClassVar[Mapping[str, float]] = {"restart_s": 40.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        cluster.crash(replica, now, why="exit code 137", down_s=self.parameters["restart_s"])
