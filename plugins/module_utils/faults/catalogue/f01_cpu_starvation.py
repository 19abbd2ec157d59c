# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F01: a pod gets less CPU than it asks for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from ..cgroups import CpuStat
from ..contract import DURATION, Fault, Parameter, Target
from ..cpu_limiters import cpu_limiter
from ..undo import Undo
from ..undo_action import UndoAction


class CpuStarvation(Fault):
    """Hold a pod to a share of a core."""

    id = "F01"
    name = "cpu_starvation"
    summary = "The pod may use no more than a part of a core."
    layer = "container"
    symptoms = (
        "The pod's throttled periods and throttled time rise and stay up; its time to first token "
        "and inter-token latency rise; the other pods' own metrics stay."
    )
    requirements = (
        "`cgroup_quota` and `stress`: root and a CPU cgroup for each pod. `duty_cycle`: pods of "
        "the same user. All: load on the pod. `stress` throttles nothing: the pod's own CPU use "
        "rises, and on a small machine the other pods get less too."
    )
    kinds: ClassVar[tuple[str, ...]] = ("replica", "head", "gateway")
    mechanisms: ClassVar[Mapping[str, str | None]] = {
        "cgroup_quota": "netns",
        "duty_cycle": "none",
        "stress": None,
    }
    parameters = (
        Parameter("cpu_limit_cores", 0.2, 0.01, 64, "CPU time that the pod may use, in cores."),
        Parameter("stress_workers", 4, 1, 64, "Busy threads in the pod (`stress` only)."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._cores = self.values["cpu_limit_cores"]
        self._workers = round(self.values["stress_workers"])
        self._limiter = cpu_limiter(
            self.mechanism, target.pod, self._cores, self._workers, self.duration_s
        )
        self._baseline: tuple[float, CpuStat]
        self._dose: tuple[float, CpuStat]

    def root_cause_metrics(self) -> tuple[str, ...]:
        if self.mechanism != "cgroup_quota":
            return ("cpu_usage_cores",)  # the kernel throttles nothing then
        return ("cpu_throttled_periods_rate", "cpu_throttled_seconds_rate", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        if self.mechanism == "stress":
            return {"stress_workers": float(self._workers)}
        return {"cpu_limit_cores": self._cores}

    def preflight(self) -> None:
        self._limiter.preflight()

    def capture(self) -> tuple[UndoAction, ...]:
        undo = self._limiter.capture()
        self._baseline = self._look()
        return (undo,)

    def inject(self) -> None:
        self._dose = self._look()
        self._give()

    def _give(self) -> None:
        self._limiter.start()

    def verify_effect(self) -> bool:
        (begin, first), (now, last) = self._dose, self._look()
        return self._limiter.acts(now - begin, first, last)

    def disturbance(self) -> str | None:
        if not self.target.pod.processes():
            return f"nothing runs in pod {self.target.pod.name} any more"
        return self._limiter.disturbance()

    def measured_dose(self) -> dict[str, float]:
        (baseline, before), (begin, first), (now, last) = self._baseline, self._dose, self._look()
        periods = last.periods - first.periods
        throttled = last.throttled_periods - first.throttled_periods
        elapsed_s = now - begin
        return {
            "cpu_cores_before": round((first.usage_s - before.usage_s) / (begin - baseline), 4),
            "cpu_cores": round((last.usage_s - first.usage_s) / elapsed_s, 4),
            "throttled_periods_ratio": round(throttled / periods, 4) if periods else 0.0,
            "throttled_seconds_rate": round((last.throttled_s - first.throttled_s) / elapsed_s, 4),
            **self._limiter.dose(),
        }

    def revert(self, undo: Undo) -> None:
        self._limiter.stop()
        super().revert(undo)

    def _look(self) -> tuple[float, CpuStat]:
        return time.monotonic(), self._limiter.stat()
