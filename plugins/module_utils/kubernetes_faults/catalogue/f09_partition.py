# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F09: a pod can't be reached."""

from __future__ import annotations

from ...faults.catalogue.f09_partition import Partition as OnHost
from ..api import Object
from ..fault import by_default
from ..network_fault import NetworkChaosFault
from ..probes import Page


class Partition(NetworkChaosFault, like=OnHost):
    """Drop all that a pod sends: nobody gets an answer of it."""

    summary = "The pod is cut off: all that it sends is dropped."
    symptoms = (
        "Every scrape of the pod fails while its processes run; requests to it hang; the others "
        "take its share. The kubelet's probes fail too: it may start the container anew."
    )
    mechanisms = by_default("network_chaos")
    parameters = OnHost.parameters

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("network_receive_bytes_rate", "network_transmit_bytes_rate", "up")

    def intended_dose(self) -> dict[str, float]:
        return {"loss_ratio": 1.0}

    def spec(self) -> Object:
        return self.network("partition")

    def acts(self, before: Page, now: Page | None) -> bool:
        del before
        return now is None

    def measured_dose(self) -> dict[str, float]:
        return {"answered_ratio": 0.0 if self.last is None else 1.0}
