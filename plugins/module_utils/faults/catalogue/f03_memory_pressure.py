# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F03: something in a pod takes memory, and nothing is killed for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..contract import DURATION, Fault, Parameter, Target
from ..errors import RefusedError
from ..helpers import HELPER_MARGIN_S, Helpers
from ..memory_cgroups import MemoryCgroup, available_bytes
from ..undo import Undo
from ..undo_action import UndoAction
from ..undo_memory import SetMemoryLimit

_MIB = 1024 * 1024
# What has to stay free, of the pod's limit and of the machine's memory.
_POD_RESERVE = 128 * _MIB
_HOST_RESERVE = 1024 * _MIB
_LEAST_SHARE = 0.8
# Should it come to a kill after all, the ballast is the first to go.
_OOM_SCORE = 1000


class MemoryPressure(Fault):
    """Fill a pod's memory, or have the kernel reclaim it."""

    id = "F03"
    name = "memory_pressure"
    summary = "Something in the pod holds memory, or the kernel takes the pod's own back."
    layer = "container"
    symptoms = (
        "The pod's working set rises and stays up (`ballast`), or falls (`memory_high`); latency "
        "hardly moves; nothing is killed."
    )
    requirements = (
        "Root and a memory cgroup for each pod. `ballast`: so much memory free in the pod's limit "
        "and on the machine, and a reserve. `memory_high`: cgroup version 2."
    )
    kinds = ("replica", "head", "gateway")
    mechanisms: ClassVar[Mapping[str, str | None]] = {"ballast": "netns", "memory_high": None}
    parameters = (
        Parameter("ballast_mib", 512, 16, 65536, "Memory that is held (`ballast`), in MiB."),
        Parameter("high_ratio", 0.8, 0.1, 0.99, "Limit by the memory in use (`memory_high`)."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._memory = MemoryCgroup.of(target.pod)
        if self.mechanism == "memory_high" and self._memory.version == 1:
            raise RefusedError("cgroup version 1 has no memory.high: use the mechanism ballast")
        self._helpers = Helpers(self.duration_s + HELPER_MARGIN_S)
        self._before = self._reclaims = self._kills = 0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("memory_working_set_bytes",)

    def intended_dose(self) -> dict[str, float]:
        if self.mechanism == "ballast":
            return {"ballast_mib": float(self._ballast_mib)}
        return {"high_ratio": self.values["high_ratio"]}

    @property
    def _ballast_mib(self) -> int:
        return round(self.values["ballast_mib"])

    def preflight(self) -> None:
        if self.mechanism == "memory_high":
            text = self._memory.high_file.read_text(encoding="ascii").strip()
            if text != "max":
                raise RefusedError(f"{self._memory.high_file} is {text} already, not max")
            return
        wanted = self._ballast_mib * _MIB
        limit = self._memory.limit()
        if limit is not None and wanted + _POD_RESERVE > limit - self._memory.usage():
            raise RefusedError(
                f"{self._ballast_mib} MiB and a reserve of {_POD_RESERVE // _MIB} MiB don't fit "
                f"into the pod's limit: {(limit - self._memory.usage()) // _MIB} MiB are left"
            )
        if wanted + _HOST_RESERVE > available_bytes():
            raise RefusedError(
                f"{self._ballast_mib} MiB and a reserve of {_HOST_RESERVE // _MIB} MiB are not "
                f"free on this machine: {available_bytes() // _MIB} MiB are"
            )

    def capture(self) -> tuple[UndoAction, ...]:
        self._before, self._kills = self._memory.anonymous(), self._memory.oom_kills()
        if self.mechanism == "ballast":
            return (self._helpers.undo(),)
        self._reclaims = self._memory.reclaims()
        file = self._memory.high_file
        return (SetMemoryLimit(str(file), file.read_text(encoding="ascii").strip()),)

    def inject(self) -> None:
        if self.mechanism == "ballast":
            self._helpers.start(
                "hold",
                f"--mebibytes={self._ballast_mib}",
                cgroups=[self._memory.folder],
                oom_score=_OOM_SCORE,
            )
            return
        high = round(self.values["high_ratio"] * self._memory.usage())
        self._memory.high_file.write_text(f"{high}\n", encoding="ascii")

    def verify_effect(self) -> bool:
        if self.mechanism == "memory_high":
            return self._memory.reclaims() > self._reclaims
        return self._memory.anonymous() - self._before >= _LEAST_SHARE * self._ballast_mib * _MIB

    def disturbance(self) -> str | None:
        if self._memory.oom_kills() > self._kills:
            return "the kernel has killed a process of the pod for memory"
        ended = self._helpers.ended()
        return f"the ballast {ended} has ended" if ended else None

    def measured_dose(self) -> dict[str, float]:
        held = (self._memory.anonymous() - self._before) / _MIB
        return {
            "anonymous_mib_before": round(self._before / _MIB, 1),
            "anonymous_mib": round(self._memory.anonymous() / _MIB, 1),
            "ballast_mib" if self.mechanism == "ballast" else "change_mib": round(held, 1),
        }

    def revert(self, undo: Undo) -> None:
        self._helpers.close()
        super().revert(undo)
