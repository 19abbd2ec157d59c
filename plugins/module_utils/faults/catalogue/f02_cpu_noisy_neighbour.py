# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F02: something else on the machine uses its CPUs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..contract import DURATION, Fault, Parameter, Target
from ..errors import RefusedError
from ..helpers import HELPER_MARGIN_S, Helpers
from ..undo import RemoveCgroup, Undo
from ..undo_action import UndoAction

_CGROUP = "neighbour"
# What the role pods gives all pods together.
_PODS_WEIGHT = {1: 2048, 2: 200}
_WEIGHT_FILE = {1: "cpu.shares", 2: "cpu.weight"}
_LEAST_SHARE = 0.25
_LEAST_S = 2.0
_PRESSURE = Path("/proc/pressure/cpu")


class NoisyNeighbour(Fault):
    """Burn CPU time beside the pods, in a cgroup of its own."""

    id = "F02"
    name = "cpu_noisy_neighbour"
    summary = "A job beside the pods uses the machine's CPUs."
    layer = "node"
    symptoms = (
        "The machine's CPU use, load and pressure rise; every pod is slower, and none is throttled."
    )
    requirements = (
        "Root, and a CPU cgroup for each pod (`lab_isolation: netns`). The job's weight is bounded "
        "so that what observes the pods weighs at least as much as it."
    )
    kinds = ("node",)
    mechanisms: ClassVar[Mapping[str, str | None]] = {"cgroup_burner": "netns"}
    parameters = (
        Parameter("cores", 0, 0, 256, "Busy threads; 0 for one on each CPU."),
        Parameter("weight_ratio", 2, 0.25, 4, "The job's CPU weight by that of all pods together."),
        DURATION,
    )
    needs_confirmation = True

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._helpers = Helpers(self.duration_s + HELPER_MARGIN_S)
        self._workers = round(self.values["cores"]) or (os.cpu_count() or 1)
        self._begin = 0.0
        self._pressure_s = 0.0
        cgroups = [pod.cgroup for pod in target.lab.pods if pod.cgroup is not None]
        if not cgroups:
            raise RefusedError(f"{self.id} needs a lab whose pods have cgroups")
        self._version = cgroups[0].version
        # Beside the cgroup of all pods and that of the observers.
        self._folder = cgroups[0].cpu.parents[1] / _CGROUP

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("node_pressure_cpu_waiting_rate", "node_cpu_utilisation", "node_load1")

    def intended_dose(self) -> dict[str, float]:
        return {"cores": float(self._workers), "weight_ratio": self.values["weight_ratio"]}

    def preflight(self) -> None:
        if not os.access(self._folder.parent, os.W_OK):
            raise RefusedError(f"{self._folder.parent} can't be written to: run as root")
        if self._folder.exists():
            raise RefusedError(
                f"{self._folder} is there already: end what runs in it, and remove it (rmdir)"
            )

    def capture(self) -> tuple[UndoAction, ...]:
        return (self._helpers.undo(), RemoveCgroup(str(self._folder)))

    def inject(self) -> None:
        self._folder.mkdir()
        weight = round(self.values["weight_ratio"] * _PODS_WEIGHT[self._version])
        (self._folder / _WEIGHT_FILE[self._version]).write_text(f"{weight}\n", encoding="ascii")
        self._begin, self._pressure_s = time.monotonic(), _waited_s()
        for _worker in range(self._workers):
            self._helpers.start("burn", cgroups=[self._folder])

    def _cores(self) -> float:
        return self._helpers.cpu_seconds() / (time.monotonic() - self._begin)

    def verify_effect(self) -> bool:
        if time.monotonic() - self._begin < _LEAST_S:
            return False
        return self._cores() >= _LEAST_SHARE * min(self._workers, os.cpu_count() or 1)

    def disturbance(self) -> str | None:
        ended = self._helpers.ended()
        return f"the burners {ended} have ended" if ended else None

    def measured_dose(self) -> dict[str, float]:
        waited = (_waited_s() - self._pressure_s) / (time.monotonic() - self._begin)
        return {"cores": round(self._cores(), 4), "cpu_pressure_ratio": round(waited, 4)}

    def revert(self, undo: Undo) -> None:
        self._helpers.close()
        super().revert(undo)


def _waited_s() -> float:
    """Return how long some task of the machine has waited for a CPU; 0 where nobody counts it."""
    if not _PRESSURE.exists():
        return 0.0
    line = _PRESSURE.read_text(encoding="ascii").splitlines()[0]
    return int(line.rpartition("total=")[2]) / 1e6
