# SPDX-License-Identifier: Apache-2.0
"""F06: messages between head and replica take longer, in each direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class NetworkDelay(Fault):
    """Delay a link."""

    id = "F06"
    name = "network_delay"
    layer = "network"
    summary = "Every message on the link is late by the delay, each way."
    symptoms = (
        "The link's round-trip time rises; the proxy's latency and the time to first "
        "token rise by about it; the engine's own latencies stay."
    )
    targets = ("link",)
    metrics = ("link_rtt_s",)
    defaults: ClassVar[Mapping[str, float]] = {"delay_ms": 400.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.link(self.target).delay_s.set(now, self.parameters["delay_ms"] / 1000)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.link(self.target).delay_s.restore(now)
