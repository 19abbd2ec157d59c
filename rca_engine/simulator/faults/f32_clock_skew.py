# SPDX-License-Identifier: Apache-2.0
"""F32: a node's clock is wrong, and with it the times in its logs and spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault
from rca_engine.simulator.spec import ClusterSpec


class ClockSkew(Fault):
    """Set a node's clock off."""

    id = "F32"
    name = "clock_skew"
    layer = "node"
    summary = "A node's clock jumps by an offset and back."
    symptoms = (
        "The node's clock offset rises; spans of its replicas begin before their "
        "parents, its logs are out of order; the service and its clients notice "
        "nothing."
    )
    targets = ("node",)
    metrics = ("node_clock_offset_s",)
    defaults: ClassVar[Mapping[str, float]] = {"offset_s": -2.5}

    @classmethod
    def default_target(cls, spec: ClusterSpec) -> str:
        """Return the last node: its clock is compared with that of the gateway's node."""
        return spec.node_ids()[-1]

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.nodes[self.target].clock_offset_s.set(now, self.parameters["offset_s"])

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.nodes[self.target].clock_offset_s.restore(now)
