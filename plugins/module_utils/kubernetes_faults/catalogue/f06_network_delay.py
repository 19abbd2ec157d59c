# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F06: what a pod sends comes late."""

from __future__ import annotations

from collections.abc import Mapping

from ...faults.catalogue.f06_network_delay import Delay as OnHost
from ...faults.contract import Target
from ...faults.errors import RefusedError
from ..api import Object
from ..fault import by_default
from ..network_fault import NetworkChaosFault
from ..probes import Page

# How much of the intended delay must be seen; a new connection has it twice.
_LEAST_SHARE = 0.7


class Delay(NetworkChaosFault, like=OnHost):
    """Hold every packet that a pod sends for a while."""

    summary = "Every packet that the pod sends comes so many milliseconds late."
    mechanisms = by_default("network_chaos")
    parameters = OnHost.parameters

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        if self.values["jitter_ms"] > self.values["delay_ms"]:
            raise RefusedError("jitter_ms can't be more than delay_ms: no packet comes early")

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("scrape_duration_s", "network_receive_bytes_rate")

    def intended_dose(self) -> dict[str, float]:
        return {name: self.values[name] for name in ("delay_ms", "jitter_ms")}

    def spec(self) -> Object:
        delay = {
            "latency": f"{self.values['delay_ms']:g}ms",
            "jitter": f"{self.values['jitter_ms']:g}ms",
            "correlation": "0",
        }
        return self.network("delay", delay=delay)

    def acts(self, before: Page, now: Page | None) -> bool:
        least = self.values["delay_ms"] - self.values["jitter_ms"]
        return now is not None and (now.seconds - before.seconds) * 1000 >= _LEAST_SHARE * least

    def measured_dose(self) -> dict[str, float]:
        seen = {"answer_ms_before": self.before, "answer_ms": self.last}
        return {n: round(p.seconds * 1000, 3) for n, p in seen.items() if p is not None}
