# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F08: what a pod may send is capped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from ..contract import DURATION, Parameter
from ..network_fault import QdiscFault

# The bucket holds some frames at least; a packet that waits longer than this is dropped.
_BURST_BYTES = 5000
_LONGEST_WAIT_MS = 2000


class BandwidthCap(QdiscFault):
    """Hold what a pod sends to a rate (a token bucket)."""

    id = "F08"
    name = "bandwidth_cap"
    summary = "The pod may send no more than so many kilobits a second."
    symptoms = (
        "The bytes that the pod sends stay on a plateau; its answers and scrapes are slow in "
        "proportion to their length; the engine waits for nothing."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"tbf": "netns"}
    parameters = (
        Parameter("rate_kbit_s", 256, 8, 1_000_000, "What the pod may send, in kbit/s."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("network_transmit_bytes_rate", "scrape_duration_s")

    def intended_dose(self) -> dict[str, float]:
        return {"rate_kbit_s": self.values["rate_kbit_s"]}

    def _give(self) -> None:
        rate = f"{self.values['rate_kbit_s']:.0f}kbit"
        self._netns.set_qdisc(
            "tbf", "rate", rate, "burst", str(_BURST_BYTES), "latency", f"{_LONGEST_WAIT_MS}ms"
        )

    def verify_effect(self) -> bool:
        qdisc = self._netns.qdisc()
        return qdisc["kind"] == "tbf" and qdisc["overlimits"] > 0

    def measured_dose(self) -> dict[str, float]:
        qdisc = self._netns.qdisc()
        elapsed_s = time.monotonic() - self._begin
        return {
            "sent_kbit_s": round(qdisc.get("bytes", 0) * 8 / 1000 / elapsed_s, 2),
            "held_packets": float(qdisc.get("overlimits", 0)),
            "dropped_packets": float(qdisc.get("drops", 0)),
        }
