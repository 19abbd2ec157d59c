# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F27: prompts that share nothing push what others share out of the prefix cache."""

from __future__ import annotations

from ..contract import DURATION, Parameter
from ..engine_metrics import Seen
from ..second_load import Shape
from ..workload_fault import NEEDS, WorkloadFault

# Less than that is a template's few tokens, and no cache that could collapse.
_LEAST_BEFORE = 0.05
_MOST_SHARE = 0.7


class PrefixCacheCollapse(WorkloadFault):
    """Send prompts no two of which begin alike.

    They miss the cache themselves, and where it is full they take the place of prefixes that the
    run's own load would have hit.
    """

    id = "F27"
    name = "prefix_cache_collapse"
    summary = "Prompts that share no prefix come, and the prefix cache no longer helps."
    symptoms = (
        "The prefix cache's hit ratio falls in all replicas; prompt tokens, prefill time and time "
        "to first token rise; the client's rate and prompts changed first."
    )
    requirements = (
        f"{NEEDS} Prefix caching, and a load whose prompts share prefixes (`prompts` of the load). "
        f"Others' prefixes are pushed out of a cache that fills: a GPU's does, that of the lab's "
        f"tiny model on a CPU does not, and only the ratio over all requests falls there."
    )
    parameters = (
        Parameter("rate_per_s", 4, 0.1, 500, "Requests a second that share nothing."),
        Parameter("prompt_tokens", 512, 64, 200000, "Tokens of each prompt."),
        Parameter("output_tokens", 8, 1, 16384, "Tokens of each answer."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("client_prompt_tokens_mean", "client_request_rate")

    def _shape(self) -> Shape:
        return Shape(
            prompt_tokens=round(self.values["prompt_tokens"]),
            output_tokens=round(self.values["output_tokens"]),
            rate_per_s=self.values["rate_per_s"],
        )

    def _acts(self, seen: Seen) -> bool:
        before, under = seen.before.prefix_hit_ratio, seen.under.prefix_hit_ratio
        if before is None or under is None or before < _LEAST_BEFORE:
            return False
        return under <= _MOST_SHARE * before
