# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F30: the service loses a replica, and is not given it back for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..contract import ANY_ISOLATION, DURATION, Target
from ..processes import Process
from ..restart_fault import RestartFault
from ..supervisor import Program


class ReplicaLoss(RestartFault):
    """Stop the program of a replica's pod; the pod, the replica's slot, stays."""

    id = "F30"
    name = "replica_loss"
    summary = "A replica's pod is stopped, and started again at the end."
    layer = "capacity"
    symptoms = (
        "The pod's processes and scrapes are gone and nothing of it fails again; the service has "
        "one replica less, and the others take its share: they queue where the load needs all."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"supervisor_stop": ANY_ISOLATION}
    parameters = (DURATION,)
    # The supervisor asks first, and kills what has not ended in 15 seconds.
    effect_deadline_s = 25.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._stopped: Program | None = None

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("up", "processes", "engine_generation_tokens_rate")

    def root_causes(self) -> dict[str, tuple[str, ...]]:
        # What is lost is capacity of the service; no series of the host platform tells of that.
        return {**super().root_causes(), "service/llm": ()}

    def intended_dose(self) -> dict[str, float]:
        return {"replicas_lost": 1.0}

    def _find_victims(self) -> list[Process]:
        return self.target.pod.processes()

    def _give(self) -> None:
        self._stopped = self._find_program()
        if self._stopped is None:
            raise OSError("the pod's program has ended by itself")
        self.target.lab.need_supervisor().stop(self._stopped.name)

    def verify_effect(self) -> bool:
        return super().verify_effect() and not self.target.pod.processes()

    def disturbance(self) -> str | None:
        if self._gone_s is not None and self.target.pod.processes():
            return "something else has started the pod's program"
        return None

    def is_over(self) -> bool:
        return False  # it lasts as long as it is asked to

    def measured_dose(self) -> dict[str, float]:
        lost = 0.0 if self.target.pod.processes() else 1.0
        return {"replicas_lost": lost, **super().measured_dose()}
