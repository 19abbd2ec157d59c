# SPDX-License-Identifier: Apache-2.0
"""F26: a share of the requests has very long prompts, and their clients do not wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from rca_engine.simulator.faults._base import Draft, Fault
from rca_engine.simulator.workload import Load


class LongPrompts(Fault):
    """Send some very long prompts, and cancel them."""

    id = "F26"
    name = "long_prompts"
    layer = "workload"
    summary = "Some requests have prompts of many thousand tokens; their clients give up early."
    symptoms = (
        "The client's mean prompt rises at an unchanged rate; requests are cancelled; "
        "short requests wait behind long prefills."
    )
    targets = ("client",)
    metrics = ("client_prompt_tokens_mean",)
    defaults: ClassVar[Mapping[str, float]] = {"share": 0.2, "prompt_tokens": 12000.0}

    def shape(self, draft: Draft) -> Load:
        """Make some prompts in the window very long."""
        inside = draft.load.within(draft.window_s)
        poisoned = inside[draft.rng.random(inside.size) < self.parameters["share"]]
        return draft.load.changed(
            poisoned,
            prompt=np.full(poisoned.size, int(self.parameters["prompt_tokens"])),
            cancel=draft.rng.uniform(1.0, 4.0, poisoned.size),
        )
