# SPDX-License-Identifier: Apache-2.0
"""F23: long prompts at high concurrency fill the KV cache (physics 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from rca_engine.simulator.faults._base import Draft, Fault
from rca_engine.simulator.workload import Load


class KvExhaustionByLoad(Fault):
    """Send long prompts, and more of them."""

    id = "F23"
    name = "kv_exhaustion_load"
    layer = "workload"
    summary = "Prompts grow long and come more often."
    symptoms = (
        "The client's prompts and rate rise first; then KV use goes near 1 in all "
        "replicas, with preemptions, waiting requests and inter-token latency."
    )
    targets = ("client",)
    metrics = (
        "client_prompt_tokens_mean",
        "client_request_rate",
    )
    defaults: ClassVar[Mapping[str, float]] = {"prompt_factor": 9.0, "rate_factor": 1.3}

    def shape(self, draft: Draft) -> Load:
        """Make prompts and answers in the window long, and add requests."""
        merged = draft.more(draft.rate * (self.parameters["rate_factor"] - 1))
        inside = merged.within(draft.window_s)
        prompt = merged.prompt[inside] * self.parameters["prompt_factor"]
        return merged.changed(
            inside,
            prompt=prompt.astype(np.int64),
            output=(merged.output[inside] * 2).astype(np.int64),
        )
