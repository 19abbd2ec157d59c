# SPDX-License-Identifier: Apache-2.0
"""F09: nothing passes between head and replica, while both are well."""

from __future__ import annotations

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class NetworkPartition(Fault):
    """Cut a link."""

    id = "F09"
    name = "network_partition"
    layer = "network"
    summary = "Nothing passes on the link."
    symptoms = (
        "Probes of the link fail; requests on it end in 504 or time out at the client; "
        "the replica is up, and idle soon."
    )
    targets = ("link",)
    metrics = ("link_up",)

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.cut(cluster.link(self.target), now)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.heal(cluster.link(self.target), now)
