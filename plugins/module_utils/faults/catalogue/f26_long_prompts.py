# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F26: some requests have very long prompts, and their clients do not wait."""

from __future__ import annotations

from ..contract import DURATION, Parameter
from ..engine_metrics import Seen
from ..second_load import Shape
from ..workload_fault import WorkloadFault

_LEAST_PROMPTS = 3


class LongPrompts(WorkloadFault):
    """Send very long prompts, and hang up on the answers that take too long."""

    id = "F26"
    name = "long_prompts"
    summary = "Requests with very long prompts come, and their clients give up early."
    symptoms = (
        "The client's mean prompt rises at a hardly changed rate; requests are cancelled; short "
        "requests wait behind long prefills, and tokens behind both."
    )
    parameters = (
        Parameter("rate_per_s", 1, 0.05, 50, "Long requests a second."),
        Parameter("prompt_tokens", 1500, 64, 1000000, "Tokens of each prompt."),
        Parameter("output_tokens", 256, 1, 16384, "Tokens of each answer."),
        Parameter("give_up_s", 1, 0.05, 60, "How long a client waits for its whole answer, in s."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("client_prompt_tokens_mean",)

    def intended_dose(self) -> dict[str, float]:
        return {**super().intended_dose(), "give_up_s": self.values["give_up_s"]}

    def _shape(self) -> Shape:
        return Shape(
            prompt_tokens=round(self.values["prompt_tokens"]),
            output_tokens=round(self.values["output_tokens"]),
            rate_per_s=self.values["rate_per_s"],
            give_up_s=self.values["give_up_s"],
        )

    def _acts(self, seen: Seen) -> bool:
        load, _watch = self._given()
        usual = seen.before.prompt_tokens_per_s * seen.under.seconds
        long_enough = _LEAST_PROMPTS * self.values["prompt_tokens"]
        return seen.under.prompt_tokens - usual >= long_enough and load.given_up() > 0
