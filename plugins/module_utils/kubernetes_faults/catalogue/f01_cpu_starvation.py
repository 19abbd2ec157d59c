# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F01: busy threads take a container's CPU time."""

from __future__ import annotations

import dataclasses

from ...faults.catalogue.f01_cpu_starvation import CpuStarvation as OnHost
from ...faults.contract import DURATION
from ...faults.errors import RefusedError
from ..api import Object
from ..fault import by_default, parameters_of
from ..probes import Usage
from ..stress_fault import StressFault

_LEAST_SHARE = 0.5
# Less than so much of a core left can't be told from the load's own ups and downs.
_LEAST_CORES = 0.2


class CpuStarvation(StressFault, like=OnHost):
    """Run busy threads in the pod's container, within its limit."""

    summary = "Busy threads in the pod's container take its CPU time."
    symptoms = (
        "The pod's CPU use rises to its limit, and its throttled periods with it; its time to "
        "first token and inter-token latency rise; the other pods' own metrics stay."
    )
    mechanisms = by_default("stress_chaos")
    parameters = (
        *(
            dataclasses.replace(each, description="Busy threads in the container.")
            for each in parameters_of(OnHost, "stress_workers")
        ),
        DURATION,
    )

    @property
    def _workers(self) -> int:
        return round(self.values["stress_workers"])

    def root_cause_metrics(self) -> tuple[str, ...]:
        if self.pod.limit("cpu") is None:
            return ("cpu_usage_cores", "cpu_pressure_waiting_rate")
        return ("cpu_throttled_periods_rate", "cpu_throttled_seconds_rate", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        return {"stress_workers": float(self._workers)}

    def spec(self) -> Object:
        return {"stressors": {"cpu": {"workers": self._workers, "load": 100}}}

    def _room(self, now: Usage) -> float:
        """Return the cores that the dose can take."""
        limit = self.pod.limit("cpu")
        return float(self._workers) if limit is None else min(self._workers, limit - now.cores)

    def _check_room(self, now: Usage) -> None:
        if self._room(now) < _LEAST_CORES:
            raise RefusedError(
                f"pod {self.pod.name} uses {now.cores:.1f} cores and may use "
                f"{self.pod.limit('cpu'):g}: the effect could not be told from that"
            )

    def _look(self) -> bool:
        counts = self.fresh()
        if counts is None:
            return False
        before, now = counts
        return now.cores - before.cores >= _LEAST_SHARE * self._room(before)

    def measured_dose(self) -> dict[str, float]:
        if self._before is None or self._last is None:
            return {}
        return {
            "cpu_cores_before": round(self._before.cores, 4),
            "cpu_cores": round(self._last.cores, 4),
        }

    def _remainder(self) -> str | None:
        if self._before is None or self._last is None:
            return None
        self.fresh()
        least = self._before.cores + _LEAST_SHARE * self._room(self._before)
        if self._last.cores < least:
            return None
        return f"pod {self.pod.name} still uses {self._last.cores:.1f} cores"
