# SPDX-License-Identifier: Apache-2.0
"""F31: an exporter stops. Nothing is wrong with what it measures."""

from __future__ import annotations

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class TelemetryLoss(Fault):
    """Stop an exporter."""

    id = "F31"
    name = "telemetry_loss"
    layer = "observability"
    summary = "An exporter stops answering."
    symptoms = (
        "Its own up is 0 and all series that it serves have a gap; the service and its "
        "clients notice nothing."
    )
    targets = ("telemetry",)
    metrics = ("up",)

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.exporters[self.target].set(now, 0.0)

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.exporters[self.target].restore(now)
