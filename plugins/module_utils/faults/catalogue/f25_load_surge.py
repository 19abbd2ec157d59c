# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F25: more requests come than before."""

from __future__ import annotations

from ..contract import DURATION, Parameter
from ..engine_metrics import Seen
from ..second_load import Shape
from ..workload_fault import WorkloadFault

# A service that is full already takes in less than is sent.
_LEAST_SHARE = 0.3


class LoadSurge(WorkloadFault):
    """Send so many requests more a second."""

    id = "F25"
    name = "load_surge"
    summary = "So many requests more come a second."
    symptoms = (
        "The client's request rate leads everything; running, waiting and queue time rise in all "
        "replicas alike; nothing is wrong with any of them."
    )
    parameters = (
        Parameter("rate_per_s", 8, 0.1, 500, "Requests a second beside those of the run."),
        Parameter("prompt_tokens", 64, 16, 200000, "Words of each prompt, about its tokens."),
        Parameter("output_tokens", 32, 1, 16384, "Tokens of each answer."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("client_request_rate",)

    def _shape(self) -> Shape:
        return Shape(
            prompt_tokens=round(self.values["prompt_tokens"]),
            output_tokens=round(self.values["output_tokens"]),
            exact=False,  # what counts is that they come, and soon
            rate_per_s=self.values["rate_per_s"],
        )

    def _acts(self, seen: Seen) -> bool:
        more_per_s = seen.under.arrivals_per_s - seen.before.arrivals_per_s
        return more_per_s >= _LEAST_SHARE * self.values["rate_per_s"]
