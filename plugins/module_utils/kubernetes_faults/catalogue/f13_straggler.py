# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F13: the engine is slower than its peers, in small steps and all the time."""

from __future__ import annotations

from ...faults.catalogue.f13_straggler import Straggler as OnHost
from ..fault import by_default
from ..node_agent import NodeFault


class Straggler(NodeFault, like=OnHost):
    """Stop the engine's processes for a share of each tenth of a second."""

    mechanisms = by_default("node_agent")
    parameters = OnHost.parameters

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("engine_itl_mean_s", "engine_decode_time_mean_s", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        return {"stopped_ratio": self.values["stopped_ratio"]}
