# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F12: the engine hangs. It holds its requests and computes nothing."""

from __future__ import annotations

from ...faults.catalogue.f12_engine_hang import EngineHang as OnHost
from ..fault import by_default
from ..node_agent import NodeFault


class EngineHang(NodeFault, like=OnHost):
    """Stop the engine's processes, and let them go on at the end."""

    mechanisms = by_default("node_agent")
    parameters = OnHost.parameters

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("engine_generation_tokens_rate", "serve_ongoing_requests", "cpu_usage_cores")

    def intended_dose(self) -> dict[str, float]:
        return {"stopped_ratio": 1.0}
