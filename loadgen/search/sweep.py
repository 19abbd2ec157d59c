# SPDX-License-Identifier: Apache-2.0
"""The same load at several rates or numbers of users, and lengths: every combination once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from loadgen.arrivals import Arrivals
from loadgen.profile import Profile
from loadgen.search.steps import Step, Stepper
from loadgen.workload import ClosedLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is varied; ``rates_per_s`` or ``users``, ascending, and the lengths."""

    rates_per_s: Sequence[float] = ()
    users: Sequence[int] = ()
    prompt_tokens: Sequence[int]
    output_tokens: Sequence[int]


@dataclass(frozen=True, slots=True)
class Point:
    """One combination; ``step`` is ``None`` where a lower load was over-saturated already."""

    load: float
    prompt_tokens: int
    output_tokens: int
    step: Step | None

    def to_dict(self, kind: str) -> dict[str, Any]:
        """Return it as JSON has it; ``kind`` says what the load is a number of."""
        where = {
            kind: self.load,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
        }
        if self.step is None:
            return where | {"step": None, "stopped": "a lower load was over-saturated"}
        summary = self.step.result.summary
        return where | {
            "step": self.step.name,
            "stopped": self.step.stopped,
            "success_per_s": self.step.success_per_s,
            "output_tokens_per_s": summary["rates_per_s"]["output_tokens"],
            "attainment": summary["slo"]["attainment"],
            "goodput_per_s": summary["slo"]["goodput_per_s"],
            "response_ttft_ms": summary["with_failures"]["response_ttft_ms"],
            "response_latency_ms": summary["with_failures"]["response_latency_ms"],
            "tpot_ms": summary["successes"]["tpot_ms"],
            "audit": summary["audit"]["verdict"],
        }


async def sweep(stepper: Stepper, profile: Profile, grid: Grid, think_s: float) -> list[Point]:
    """Run every combination, the loads of each pair of lengths from low to high.

    Rates above one that was over-saturated are left out, and said to be.
    """
    points = []
    loads: Sequence[float] = sorted(grid.rates_per_s or grid.users)
    for prompt, output in product(grid.prompt_tokens, grid.output_tokens):
        saturated = False
        for load in loads:
            step = None
            if not saturated:
                asked = replace(profile, prompt_tokens=prompt, output_tokens=output)
                name = f"p{prompt}-o{output}"
                if grid.rates_per_s:
                    asked = replace(asked, rate_per_s=load)
                    name = f"rate-{load:g}-{name}"
                else:
                    closed = ClosedLoop(users=int(load), think_s=think_s)
                    asked = replace(asked, rate_per_s=None, arrivals=Arrivals(), closed=closed)
                    name = f"users-{load:g}-{name}"
                step = await stepper.do(name, asked)
                saturated = step.stopped is not None
            points.append(Point(load, prompt, output, step))
    return points
