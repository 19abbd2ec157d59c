# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F07: packets of a pod are lost at random."""

from __future__ import annotations

import dataclasses

from ...faults.catalogue.f07_packet_loss import PacketLoss as OnHost
from ...faults.contract import DURATION
from ..api import Object
from ..fault import by_default, parameters_of
from ..network_fault import NetworkChaosFault


class PacketLoss(NetworkChaosFault, like=OnHost):
    """Drop a share of the packets that a pod sends.

    Few answers don't tell a loss from none, and no counter of the API does.
    """

    seen = False
    summary = "A share of the packets that the pod sends is lost."
    symptoms = (
        "The pod sends the same again: retransmits on the node rise, scrapes of the pod take "
        "longer or fail; its streams stall; the engine is idle."
    )
    mechanisms = by_default("network_chaos")
    parameters = (
        *(
            dataclasses.replace(each, description="Share of the sent packets that is dropped.")
            for each in parameters_of(OnHost, "loss_ratio")
        ),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("network_receive_bytes_rate", "network_transmit_bytes_rate", "scrape_duration_s")

    def intended_dose(self) -> dict[str, float]:
        return {"loss_ratio": self.values["loss_ratio"]}

    def spec(self) -> Object:
        percent = f"{self.values['loss_ratio'] * 100:g}"
        return self.network("loss", loss={"loss": percent, "correlation": "0"})
