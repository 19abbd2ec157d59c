# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F08: what a pod may send is capped."""

from __future__ import annotations

from ...faults.catalogue.f08_bandwidth_cap import BandwidthCap as OnHost
from ...faults.errors import RefusedError
from ..api import Object
from ..fault import by_default
from ..network_fault import NetworkChaosFault
from ..probes import Page

# The bucket holds some frames; what would wait longer than this is dropped.
_BURST_BYTES = 5000
_LONGEST_WAIT_S = 2.0
# An answer must be longer than the bucket to meet the cap, by so much.
_LEAST_BUCKETS = 3
_TOLERANCE = 1.5


class BandwidthCap(NetworkChaosFault, like=OnHost):
    """Hold what a pod sends to a rate (a token bucket)."""

    mechanisms = by_default("network_chaos")
    parameters = OnHost.parameters
    page_timeout_s = 12.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("network_transmit_bytes_rate", "scrape_duration_s")

    def intended_dose(self) -> dict[str, float]:
        return {"rate_kbit_s": self.values["rate_kbit_s"]}

    @property
    def _bytes_s(self) -> float:
        return self.values["rate_kbit_s"] * 1000 / 8

    def spec(self) -> Object:
        bandwidth = {
            "rate": f"{self.values['rate_kbit_s']:.0f}kbit",
            "limit": _BURST_BYTES + round(self._bytes_s * _LONGEST_WAIT_S),
            "buffer": _BURST_BYTES,
        }
        return self.network("bandwidth", bandwidth=bandwidth)

    def preflight(self) -> None:
        super().preflight()
        found = self._best()
        if found is None or found.size < _LEAST_BUCKETS * _BURST_BYTES:
            raise RefusedError(
                f"the pod's page is too short to meet the cap: {found.size if found else 0} bytes"
            )
        if self._rate(found) <= _TOLERANCE * self._bytes_s:
            raise RefusedError(
                f"the pod answers with {self._rate(found) * 8 / 1000:.0f} kbit/s without the "
                f"fault: ask for less than {self._rate(found) * 8 / 1000 / _TOLERANCE:.0f}"
            )

    @staticmethod
    def _rate(answer: Page) -> float:
        """Return the bytes a second at which an answer came, but for what the bucket let pass."""
        return max(0, answer.size - _BURST_BYTES) / answer.seconds

    def acts(self, before: Page, now: Page | None) -> bool:
        del before
        return now is None or self._rate(now) <= _TOLERANCE * self._bytes_s

    def measured_dose(self) -> dict[str, float]:
        seen = {"answer_kbit_s_before": self.before, "answer_kbit_s": self.last}
        return {n: round(self._rate(p) * 8 / 1000, 2) for n, p in seen.items() if p is not None}
