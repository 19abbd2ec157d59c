# SPDX-License-Identifier: Apache-2.0
"""More and more users, until more of them bring no more answers: what the service can do at all.

Each rung is checked by Little's law: so many users must equal the rate at which their requests end,
times the time that each takes with thinking (Little 1961). A rung where they differ was too short,
or the load generator itself was the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from loadgen.arrivals import Arrivals
from loadgen.profile import Profile
from loadgen.result import Result
from loadgen.search.intervals import Share
from loadgen.search.steps import Step, Stepper
from loadgen.workload import ClosedLoop

LITTLE_OFF = 0.1
"""How far from one the ratio of Little's law may be."""

LEAST_GAIN = 0.05
"""Growth of the throughput, for twice the users, below which there is no more to come."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A closed loop of so many users.

    Parameters
    ----------
    users
        How many.
    step
        The run.
    rate_per_s
        Requests that ended in a second of the measured phase, whatever became of them.
    cycle_s
        Mean time of a request, and of the thought after it.
    """

    users: int
    step: Step
    rate_per_s: float
    cycle_s: float

    @property
    def little(self) -> float:
        """Users by Little's law, over users: 1 where the rung can be believed."""
        return self.rate_per_s * self.cycle_s / self.users

    @property
    def credible(self) -> bool:
        """Whether Little's law holds."""
        return abs(self.little - 1) <= LITTLE_OFF

    @property
    def success_per_s(self) -> float:
        """Throughput: what succeeded."""
        return self.step.success_per_s

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        summary = self.step.result.summary
        return {
            "step": self.step.name,
            "users": self.users,
            "rate_per_s": self.rate_per_s,
            "success_per_s": self.success_per_s,
            "cycle_s": self.cycle_s,
            "little": self.little,
            "credible": self.credible,
            "attainment": summary["slo"]["attainment"],
            "response_ttft_ms": summary["with_failures"]["response_ttft_ms"],
            "audit": summary["audit"]["verdict"],
        }


async def climb(
    stepper: Stepper, profile: Profile, *, think_s: float, most_users: int
) -> list[Rung]:
    """Double the users until the throughput no longer grows, or the SLO is broken.

    Parameters
    ----------
    stepper
        Does the steps.
    profile
        The load, but for its rate or users.
    think_s
        See :class:`loadgen.workload.ClosedLoop`.
    most_users
        Highest rung.
    """
    rungs: list[Rung] = []
    users = 1
    while users <= most_users:
        closed = ClosedLoop(users=users, think_s=think_s)
        asked = replace(profile, rate_per_s=None, arrivals=Arrivals(), closed=closed)
        step = await stepper.do(f"users-{users}", asked)
        rungs.append(_rung(users, step, think_s))
        if not rungs[-1].credible:
            stepper.say(
                f"  Little's law is off by {rungs[-1].little - 1:+.0%}: this rung was too short, "
                "or the load generator was the limit"
            )
        if _is_top(rungs):
            break
        users *= 2
    return rungs


def capacity_per_s(rungs: list[Rung]) -> float:
    """Return the highest throughput of the rungs."""
    return max(rung.success_per_s for rung in rungs)


def _is_top(rungs: list[Rung]) -> bool:
    last = rungs[-1]
    summary = last.step.result.summary
    share = Share(summary["slo"]["met"], summary["requests"]["scheduled"])
    if share.interval()[1] < last.step.result.asked.slo.target:
        return True
    if len(rungs) < 2:
        return False
    return last.success_per_s < rungs[-2].success_per_s * (1 + LEAST_GAIN)


def _rung(users: int, step: Step, think_s: float) -> Rung:
    rate_per_s, time_s = _flow(step.result)
    return Rung(users, step, rate_per_s, time_s + think_s)


def _flow(result: Result) -> tuple[float, float]:
    """Return the rate at which requests ended in the measured phase, and their mean time."""
    start_ns, end_ns = result.span_ns
    # Those that the warm-up began end in it too: by Little's law, they are as good.
    times = [
        (record.end_ns - record.scheduled_ns) / 1e9
        for record in result.records()
        if start_ns <= record.end_ns < end_ns
    ]
    length_s = (end_ns - start_ns) / 1e9
    return (len(times) / length_s, fmean(times)) if times else (0.0, 0.0)
