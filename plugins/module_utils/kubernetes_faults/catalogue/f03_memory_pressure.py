# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F03: something in a container holds memory, and nothing is killed for it."""

from __future__ import annotations

import dataclasses

from ...faults.catalogue.f03_memory_pressure import MemoryPressure as OnHost
from ...faults.contract import DURATION
from ...faults.errors import RefusedError
from ..api import Object
from ..fault import by_default, parameters_of
from ..probes import Usage
from ..stress_fault import StressFault

_MIB = 1024 * 1024
# What has to stay free, of the container's limit and of the node's memory.
_POD_RESERVE = 128 * _MIB
_NODE_RESERVE = 1024 * _MIB
_LEAST_SHARE = 0.8
# Should it come to a kill after all, the ballast is the first to go.
_OOM_SCORE = 1000


class MemoryPressure(StressFault, like=OnHost):
    """Hold memory in the pod's container, below its limit."""

    summary = "Something in the pod's container holds memory."
    symptoms = "The pod's working set rises and stays up; latency hardly moves; nothing is killed."
    mechanisms = by_default("stress_chaos")
    parameters = (
        *(
            dataclasses.replace(each, description="Memory that is held, in MiB.")
            for each in parameters_of(OnHost, "ballast_mib")
        ),
        DURATION,
    )

    @property
    def _mib(self) -> int:
        return round(self.values["ballast_mib"])

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("memory_working_set_bytes",)

    def intended_dose(self) -> dict[str, float]:
        return {"ballast_mib": float(self._mib)}

    def spec(self) -> Object:
        memory = {"workers": 1, "size": f"{self._mib}MiB", "oomScoreAdj": _OOM_SCORE}
        return {"stressors": {"memory": memory}}

    def _check_room(self, now: Usage) -> None:
        limit = self.pod.limit("memory")
        rooms = [("its node", now.free_bytes, _NODE_RESERVE)]
        if limit is not None:
            rooms.append(("the pod's limit", round(limit) - now.working_set_bytes, _POD_RESERVE))
        for what, free, reserve in rooms:
            if self._mib * _MIB + reserve > free:
                raise RefusedError(
                    f"{self._mib} MiB and a reserve of {reserve // _MIB} MiB don't fit into "
                    f"{what}: {free // _MIB} MiB are left"
                )

    def _held_mib(self) -> float:
        if self._before is None or self._last is None:
            return 0.0
        return (self._last.working_set_bytes - self._before.working_set_bytes) / _MIB

    def _look(self) -> bool:
        return self.fresh() is not None and self._held_mib() >= _LEAST_SHARE * self._mib

    def measured_dose(self) -> dict[str, float]:
        return {"ballast_mib": round(self._held_mib(), 1)}

    def _remainder(self) -> str | None:
        self.fresh()
        if self._held_mib() < _LEAST_SHARE * self._mib:
            return None
        return f"pod {self.pod.name} still holds {self._held_mib():.0f} MiB more than before"
