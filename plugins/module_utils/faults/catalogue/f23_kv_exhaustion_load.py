# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F23: long prompts at high concurrency fill the KV cache."""

from __future__ import annotations

from ..contract import DURATION, Parameter
from ..engine_metrics import Seen, scrape
from ..errors import RefusedError
from ..second_load import Shape
from ..workload_fault import NEEDS, WorkloadFault

_FULL_RATIO = 0.9


class KvExhaustionByLoad(WorkloadFault):
    """Have users ask long questions, each as soon as the last is answered.

    A hog of GPU memory would not do it: the engine takes its cache at its start, and keeps it.
    """

    id = "F23"
    name = "kv_exhaustion_load"
    summary = "Users with long prompts fill the engines' KV caches."
    symptoms = (
        "The client's prompts and rate rise first; then KV use goes near 1 in all replicas, with "
        "preemptions, waiting requests, queue time and inter-token latency."
    )
    requirements = (
        f"{NEEDS} Engines whose caches so many users can fill: a GPU's, or a small one (F24). The "
        f"lab's tiny model on a CPU has room for hundreds of times what it may run at once, and "
        f"the fault is refused there, or not effective."
    )
    parameters = (
        Parameter("users", 64, 1, 512, "Users who each wait for their answer, then ask again."),
        Parameter("prompt_tokens", 1500, 16, 200000, "Tokens of each prompt."),
        Parameter("output_tokens", 256, 1, 16384, "Tokens of each answer."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("client_prompt_tokens_mean", "client_request_rate")

    def _shape(self) -> Shape:
        return Shape(
            prompt_tokens=round(self.values["prompt_tokens"]),
            output_tokens=round(self.values["output_tokens"]),
            users=round(self.values["users"]),
        )

    def preflight(self) -> None:
        super().preflight()
        room, shape = self._cache_tokens(), self._shape()
        most = round(self.values["users"]) * (shape.prompt_tokens + shape.output_tokens)
        if room is not None and most < _FULL_RATIO * room:
            raise RefusedError(
                f"the engines' KV caches hold {room:.0f} tokens, and so many users have {most} in "
                f"them at most: ask for more users or longer prompts, or for smaller caches (F24)"
            )

    def _cache_tokens(self) -> float | None:
        """Return how many tokens all caches hold; None where an engine does not tell."""
        room = 0.0
        for url in self._metrics_urls():
            sizes = [each.cache_tokens for each in scrape(url) if each.cache_tokens is not None]
            if not sizes:
                return None
            room += max(sizes)
        return room

    def _acts(self, seen: Seen) -> bool:
        return seen.kv_usage_ratio >= _FULL_RATIO
