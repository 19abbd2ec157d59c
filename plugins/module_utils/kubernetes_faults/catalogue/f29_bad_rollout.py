# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F29: a change of configuration with which no engine starts."""

from __future__ import annotations

from typing import Any

from ...faults.catalogue.f29_bad_rollout import BadRollout as OnHost
from ...faults.contract import DURATION, Parameter
from ..change_fault import ServeConfigFault
from ..fault import by_default


class BadRollout(ServeConfigFault, like=OnHost):
    """Ask the engines for a context that their model does not have."""

    summary = "A configuration is rolled out with which no engine starts."
    symptoms = (
        "From the change on replicas end and none takes their place: the application is not "
        "healthy, requests fail or wait; the change itself is the first event."
    )
    mechanisms = by_default("serve_config")
    parameters = (
        Parameter("max_model_len", 10_000_000, 100_000, 100_000_000, "The context, in tokens."),
        DURATION,
    )

    def intended_dose(self) -> dict[str, float]:
        return {"max_model_len": self.values["max_model_len"]}

    def engine_kwargs(self) -> dict[str, Any]:
        return {"max_model_len": round(self.values["max_model_len"])}

    def verify_effect(self) -> bool:
        return self.taken() and bool(self.ailing())

    def measured_dose(self) -> dict[str, float]:
        return {"ailing": float(len(self.ailing())), "config_generation": float(self._generation)}
