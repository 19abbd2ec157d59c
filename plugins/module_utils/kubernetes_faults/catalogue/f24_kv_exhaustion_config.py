# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F24: a change of configuration leaves the engines too little room for their caches."""

from __future__ import annotations

import time
from typing import Any

from ...faults.catalogue.f24_kv_exhaustion_config import KvExhaustionByConfig as OnHost
from ...faults.contract import DURATION, Parameter
from ...faults.errors import RefusedError
from ..change_fault import ServeConfigFault
from ..fault import by_default

# Tokens in a block of vLLM's, unless it is told otherwise.
_BLOCK = 16


class KvExhaustionByConfig(ServeConfigFault, like=OnHost):
    """Give every engine fewer blocks of KV cache, at the same load."""

    mechanisms = by_default("serve_config")
    parameters = (
        Parameter("kv_blocks", 512, 16, 1_000_000, "Blocks of KV cache of an engine."),
        DURATION,
    )

    def intended_dose(self) -> dict[str, float]:
        return {"kv_blocks": self.values["kv_blocks"]}

    def engine_kwargs(self) -> dict[str, Any]:
        return {"num_gpu_blocks_override": round(self.values["kv_blocks"])}

    def check_engine(self, known: dict[str, Any]) -> None:
        block = int(known.get("block_size") or _BLOCK)
        wanted = int(known.get("max_model_len") or 0)
        if wanted > block * self.values["kv_blocks"]:
            raise RefusedError(
                f"an engine of max_model_len {wanted} does not start with fewer than "
                f"{-(-wanted // block)} blocks: that would be F29"
            )

    def verify_effect(self) -> bool:
        """Look whether Serve runs what it was given; a moment is due to it to begin."""
        return time.monotonic() - self._begin > 1 and self.taken() and not self.ailing()

    def remarks(self) -> list[str]:
        return ["the engines' own caches can't be seen through the API: Serve's status is it"]

    def measured_dose(self) -> dict[str, float]:
        return {"config_generation": float(self._generation)}
