# SPDX-License-Identifier: Apache-2.0
"""F13: one tensor-parallel rank is slow, and all others wait for it in every step.

Its worker is stopped and continued in turns. The other ranks spin in the collective: they look
busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault
from rca_engine.simulator.spec import ClusterSpec


class RankStraggler(Fault):
    """Slow one rank of a replica."""

    id = "F13"
    name = "rank_straggler"
    layer = "process"
    summary = "One rank's worker is stopped for a share of the time."
    symptoms = (
        "Inter-token latency of the whole engine rises; the rank's GPU is used less and "
        "draws less power than its peers, which spin and look busy."
    )
    targets = ("gpu",)
    metrics = (
        "gpu_utilisation_percent",
        "gpu_power_w",
    )
    defaults: ClassVar[Mapping[str, float]] = {"stopped_share": 0.75}

    @classmethod
    def cluster(cls, spec: ClusterSpec) -> ClusterSpec:
        """Return the cluster with two ranks a replica: a rank needs a peer to hold up."""
        return replace(spec, engine=replace(spec.engine, tensor_parallel=2))

    def _give(self, cluster: Cluster, now: float) -> None:
        stopped = self.parameters["stopped_share"]
        cluster.gpus[self.target].stopped.set(now, stopped)
        replica = cluster.replica_of_gpu(self.target)
        replica.engine.speed.rank.set(now, 1 - stopped)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.gpus[self.target].stopped.restore(now)
        cluster.replica_of_gpu(self.target).engine.speed.rank.restore(now)
