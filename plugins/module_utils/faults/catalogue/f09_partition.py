# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F09: a pod can't be reached, silently or with a reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..contract import DURATION
from ..network import LOOPBACK
from ..network_fault import NetworkFault


class Partition(NetworkFault):
    """Cut a pod off from everything but itself."""

    id = "F09"
    name = "partition"
    summary = "The pod is cut off: its packets are dropped, or its connections reset."
    symptoms = (
        "Every scrape of the pod fails while its processes run; requests to it hang, or end with a "
        "reset; the others take its share. Ray gives a node up that is silent for some 20 s or "
        "more: its engine is then started anew."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {
        "iptables_drop": "netns",
        "iptables_tcp_reset": None,
    }
    parameters = (DURATION,)

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("network_receive_bytes_rate", "network_transmit_bytes_rate", "up")

    def intended_dose(self) -> dict[str, float]:
        return {"loss_ratio": 1.0}

    def _give(self) -> None:
        reset = ["-p tcp -j REJECT --reject-with tcp-reset"]
        rules = reset if self.mechanism == "iptables_tcp_reset" else []
        self._netns.add_rules(
            ["INPUT", "OUTPUT"],
            [f"-i {LOOPBACK} -j RETURN", f"-o {LOOPBACK} -j RETURN", *rules, "-j DROP"],
        )

    def verify_effect(self) -> bool:
        return sum(self._netns.packets()[2:]) > 0

    def measured_dose(self) -> dict[str, float]:
        return {"packets": float(sum(self._netns.packets()[2:])), "loss_ratio": 1.0}
