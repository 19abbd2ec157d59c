# SPDX-License-Identifier: Apache-2.0
"""F07: segments between head and replica get lost, and TCP sends them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class NetworkLoss(Fault):
    """Lose segments on a link."""

    id = "F07"
    name = "network_loss"
    layer = "network"
    summary = "A share of the link's segments is lost."
    symptoms = (
        "Retransmissions rise; high percentiles of the time to first token and gaps "
        "within streams rise; the engine's own latencies stay."
    )
    targets = ("link",)
    metrics = ("link_retransmits_rate",)
    defaults: ClassVar[Mapping[str, float]] = {"loss": 0.35}

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.link(self.target).loss.set(now, self.parameters["loss"])

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.link(self.target).loss.restore(now)
