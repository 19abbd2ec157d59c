# SPDX-License-Identifier: Apache-2.0
"""F25: more requests come than the service can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.faults._base import Draft, Fault
from rca_engine.simulator.workload import Load


class LoadSurge(Fault):
    """Send more requests."""

    id = "F25"
    name = "load_surge"
    layer = "workload"
    summary = "The request rate is multiplied."
    symptoms = (
        "The client's request rate leads everything; running, waiting and queue time "
        "rise in all replicas alike."
    )
    targets = ("client",)
    metrics = ("client_request_rate",)
    defaults: ClassVar[Mapping[str, float]] = {"factor": 4.0}

    def shape(self, draft: Draft) -> Load:
        """Add requests in the window."""
        return draft.more(draft.rate * (self.parameters["factor"] - 1))
