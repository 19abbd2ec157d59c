# SPDX-License-Identifier: Apache-2.0
"""F15: the router may give each replica too few requests at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class RouterLimit(Fault):
    """Bound the requests that a replica may have."""

    id = "F15"
    name = "router_limit"
    layer = "control"
    summary = "The router's bound on ongoing requests a replica is set too low."
    symptoms = (
        "Requests queue in the router while engines idle; the proxy's latency and 503 "
        "answers rise; the engines' own latencies stay or fall."
    )
    targets = ("head",)
    metrics = ("serve_queued_requests",)
    defaults: ClassVar[Mapping[str, float]] = {"max_ongoing": 1.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.router.max_ongoing.set(now, self.parameters["max_ongoing"])

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.router.max_ongoing.restore(now)
        cluster.dispatch(now)
