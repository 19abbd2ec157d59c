# SPDX-License-Identifier: Apache-2.0
"""F27: prefix caching is off, so that each request computes the shared prefix again."""

from __future__ import annotations

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class PrefixCacheCollapse(Fault):
    """Switch a replica's prefix caching off."""

    id = "F27"
    name = "prefix_cache_collapse"
    layer = "config"
    summary = "The replica's prefix caching is disabled."
    symptoms = (
        "The prefix cache's hit ratio falls to 0 in one replica; its prompt tokens, "
        "prefill time and time to first token rise."
    )
    targets = ("replica",)
    metrics = (
        "engine_prefix_cache_hit_ratio",
        "engine_prompt_tokens_rate",
        "engine_prefill_time_mean_s",
    )

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.replica(self.target).engine.prefix_caching.set(now, 0.0)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.replica(self.target).engine.prefix_caching.restore(now)
