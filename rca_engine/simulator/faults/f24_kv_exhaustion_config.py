# SPDX-License-Identifier: Apache-2.0
"""F24: an engine starts again with too few KV blocks, at an unchanged load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class KvExhaustionByConfig(Fault):
    """Restart a replica with too small a KV cache."""

    id = "F24"
    name = "kv_exhaustion_config"
    layer = "config"
    summary = "The replica is redeployed with num_gpu_blocks_override far too low."
    symptoms = (
        "As F23 in one replica only, at an unchanged load: KV use near 1, preemptions, "
        "waiting requests; a start of the engine just before."
    )
    targets = ("replica",)
    metrics = (
        "engine_kv_cache_usage_ratio",
        "engine_preemptions_rate",
        "engine_requests_waiting",
    )
    defaults: ClassVar[Mapping[str, float]] = {"kv_share": 0.075}

    def _give(self, cluster: Cluster, now: float) -> None:
        replica = cluster.replica(self.target)
        share = self.parameters["kv_share"]
        replica.engine.kv_capacity.set(now, share * cluster.spec.engine.kv_tokens)
        cluster.event(now, self.target, "ConfigChanged", "num_gpu_blocks_override was set")
        cluster.crash(replica, now, why="redeployment", down_s=2.0)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.replica(self.target).engine.kv_capacity.restore(now)
