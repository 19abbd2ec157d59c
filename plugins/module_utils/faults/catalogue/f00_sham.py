# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F00: the negative control. Anything that a method finds here is a false alarm."""

from __future__ import annotations

from collections.abc import Mapping

from ..contract import Fault, Target
from .f01_cpu_starvation import CpuStarvation
from .f17_gpu_clock_lock import GpuClockLock


class Sham(CpuStarvation):
    """Go through every step of F01, and give no dose; on a GPU through those of F17."""

    id = "F00"
    name = "sham"
    summary = "Every step of F01, its undo and watchdog too, without a dose."
    layer = "control"
    symptoms = "None: whatever is found is a false alarm."
    requirements = (
        f"{CpuStarvation.requirements} On a GPU it goes through the steps of F17 instead: it needs "
        "what F17 needs, and takes its parameters and its mechanism."
    )
    kinds = (*CpuStarvation.kinds, *GpuClockLock.kinds)
    sham = True

    @classmethod
    def of(cls, target: Target, values: Mapping[str, object]) -> Fault:
        on_gpu = target.component.partition("/")[0] in GpuClockLock.kinds
        return (_GpuSham if on_gpu else cls)(target, values)

    def intended_dose(self) -> dict[str, float]:
        return {}

    def _give(self) -> None:
        """Give nothing; this is all that sets a sham apart."""


class _GpuSham(GpuClockLock):
    id = Sham.id
    name = Sham.name
    layer = Sham.layer
    sham = True

    def intended_dose(self) -> dict[str, float]:
        return {}

    def inject(self) -> None:
        """Give nothing."""
