# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F00: the negative control. Anything that a method finds here is a false alarm."""

from __future__ import annotations

from .f01_cpu_starvation import CpuStarvation


class Sham(CpuStarvation):
    """Go through every step of F01, and give no dose."""

    id = "F00"
    name = "sham"
    summary = "Every step of F01, its undo and watchdog too, without a dose."
    layer = "control"
    symptoms = "None: whatever is found is a false alarm."
    sham = True

    def intended_dose(self) -> dict[str, float]:
        return {}

    def _give(self) -> None:
        """Give nothing; this is all that sets a sham apart."""
