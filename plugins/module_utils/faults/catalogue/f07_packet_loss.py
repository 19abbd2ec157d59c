# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F07: packets to a pod are lost at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..contract import DURATION, Parameter
from ..network import LOOPBACK
from ..network_fault import NetworkFault

# So many packets tell the share that is lost from no loss.
_ENOUGH_PACKETS = 50
_TOLERANCE = 0.5


class PacketLoss(NetworkFault):
    """Drop a share of the packets that a pod receives."""

    id = "F07"
    name = "packet_loss"
    summary = "A share of the packets that the pod receives is lost."
    symptoms = (
        "The pod is sent the same again: retransmits on the node rise, scrapes of the pod take "
        "longer or fail; its requests start late and their streams stall; the engine is idle."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"iptables_statistic": "netns"}
    parameters = (
        Parameter("loss_ratio", 0.2, 0.01, 0.9, "Share of the received packets that is dropped."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("network_receive_bytes_rate", "network_transmit_bytes_rate", "scrape_duration_s")

    def intended_dose(self) -> dict[str, float]:
        return {"loss_ratio": self.values["loss_ratio"]}

    def _give(self) -> None:
        share = self.values["loss_ratio"]
        self._netns.add_rules(
            ["INPUT"],
            [
                f"-i {LOOPBACK} -j RETURN",
                '-m comment --comment "all that is received"',
                f"-m statistic --mode random --probability {share:.4f} -j DROP",
            ],
        )

    def verify_effect(self) -> bool:
        received, dropped = self._netns.packets()[1:]
        share = self.values["loss_ratio"]
        return received >= _ENOUGH_PACKETS and dropped >= (1 - _TOLERANCE) * share * received

    def measured_dose(self) -> dict[str, float]:
        received, dropped = self._netns.packets()[1:]
        return {
            "packets": float(received),
            "loss_ratio": round(dropped / received, 4) if received else 0.0,
        }
