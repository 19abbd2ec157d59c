# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F32: a container's clock is wrong, and with it the times in its logs and answers."""

from __future__ import annotations

from collections.abc import Mapping

from ...faults.catalogue.f32_clock_skew import ClockSkew as OnHost
from ...faults.contract import DURATION, Target
from ...faults.errors import RefusedError
from ..api import Object
from ..chaos_mesh import ChaosFault
from ..fault import by_default, parameters_of
from ..probes import page

# An answer's Date header tells whole seconds, and a server may keep it for one.
_TOLERANCE_S = 2.0
_PAGE_TIMEOUT_S = 5.0


class ClockSkew(ChaosFault, like=OnHost):
    """Set the clock off that a container's processes read."""

    chaos_kind = "TimeChaos"
    on_container = True
    summary = "The clock of the pod's container is off by so many seconds."
    requirements = (
        "Chaos Mesh (role chaos_mesh), and a port of the pod that answers over HTTP with a Date of "
        "its own, which the API server can reach."
    )
    mechanisms = by_default("time_chaos")
    parameters = (*parameters_of(OnHost, "offset_s"), DURATION)

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        if abs(self.values["offset_s"]) < 2 * _TOLERANCE_S:
            raise RefusedError(
                f"offset_s must be {2 * _TOLERANCE_S:g} s or more either way: less can't be told "
                f"from a Date header"
            )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ()  # it shows in times, and in no series

    def intended_dose(self) -> dict[str, float]:
        return {"offset_s": self.values["offset_s"]}

    def spec(self) -> Object:
        return {"timeOffset": f"{self.values['offset_s']:g}s"}

    def _offset_s(self) -> float:
        answer = page(self.api, self.pod, _PAGE_TIMEOUT_S)
        if answer is None:
            raise OSError(f"pod {self.pod.name} does not answer")
        return answer.offset_s()

    def preflight(self) -> None:
        super().preflight()
        try:
            offset_s = self._offset_s()
        except (OSError, ValueError) as error:
            raise RefusedError(f"the pod does not tell its time: {error}") from error
        if abs(offset_s) > _TOLERANCE_S:
            raise RefusedError(f"the pod's clock is off by {offset_s:.0f} s already")

    def _look(self) -> bool:
        return abs(self._offset_s() - self.values["offset_s"]) <= _TOLERANCE_S

    def measured_dose(self) -> dict[str, float]:
        return {"offset_s": round(self._offset_s(), 3)}

    def _remainder(self) -> str | None:
        offset_s = self._offset_s()
        if abs(offset_s) <= _TOLERANCE_S:
            return None
        return f"the clock of pod {self.pod.name} is still off by {offset_s:.0f} s"
