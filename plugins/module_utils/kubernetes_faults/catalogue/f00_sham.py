# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F00: the negative control. Anything that a method finds here is a false alarm."""

from __future__ import annotations

from ...faults.catalogue.f00_sham import Sham as OnHost
from .f01_cpu_starvation import CpuStarvation


class Sham(CpuStarvation, like=OnHost):
    """Go through every step of F01, its lock and its undo too, and create no experiment."""

    kinds = CpuStarvation.kinds

    def intended_dose(self) -> dict[str, float]:
        return {}
