# SPDX-License-Identifier: Apache-2.0
"""The highest rate that keeps an SLO, by bisection between one that does and one that doesn't.

A rate is tried until its Wilson interval lies on one side of the SLO's target, a few times at most.
One that stays undecided counts as not kept: the answer is a rate of which it was shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from loadgen.errors import ProfileError
from loadgen.profile import Profile
from loadgen.search.intervals import Share, least_requests
from loadgen.search.steps import Step, Stepper

KEPT, BROKEN, UNDECIDED = "kept", "broken", "undecided"

_MARGIN = 2
_GROWTH = 1.5
_MOST_GROWTH = 8
_LOWEST = 0.02
"""Share of the capacity below which no rate is looked for."""


@dataclass(slots=True)
class Probe:
    """A rate that was tried, in one run or in several."""

    rate_per_s: float
    steps: list[Step] = field(default_factory=list)

    @property
    def share(self) -> Share:
        """Requests that kept the SLO, of all that were scheduled."""
        total = Share(0, 0)
        for step in self.steps:
            summary = step.result.summary
            total = total.add(Share(summary["slo"]["met"], summary["requests"]["scheduled"]))
        return total

    def verdict(self, target: float) -> str:
        """Say on which side of the target the rate is."""
        if any(step.stopped for step in self.steps):
            return BROKEN
        low, high = self.share.interval()
        return KEPT if low >= target else BROKEN if high < target else UNDECIDED

    def to_dict(self, target: float) -> dict[str, Any]:
        """Return it as JSON has it."""
        low, high = self.share.interval()
        first = self.steps[0].result.summary
        return {
            "steps": [step.name for step in self.steps],
            "rate_per_s": self.rate_per_s,
            "due": self.share.due,
            "attainment": self.share.seen,
            "interval": [low, high],
            "verdict": self.verdict(target),
            "stopped": next((step.stopped for step in self.steps if step.stopped), None),
            "success_per_s": self.steps[0].success_per_s,
            "response_ttft_ms": first["with_failures"]["response_ttft_ms"],
            "audit": first["audit"]["verdict"],
        }


@dataclass(slots=True, kw_only=True)
class RateSearch:
    """Looks for the highest rate that keeps the profile's SLO.

    Parameters
    ----------
    stepper
        Does the steps.
    profile
        The load, but for its rate. Steps last as long as it says, and longer where so few requests
        could not show the target even if all kept it.
    precision
        Relative width of the answer at which the search ends.
    repeats
        How often an undecided rate is tried.
    most_per_s
        Highest rate to try.

    Raises
    ------
    ProfileError
        If the SLO's target is 1, which no number of requests shows.
    """

    stepper: Stepper
    profile: Profile
    precision: float
    repeats: int
    most_per_s: float
    probes: list[Probe] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.profile.slo.target >= 1:
            raise ProfileError(
                "a search needs an SLO target below 1: no number of good requests shows that all "
                "would be (--slo-target 0.99)"
            )

    async def bisect(self, capacity_per_s: float) -> tuple[float | None, float | None]:
        """Return the highest rate that was kept, and the lowest that was not.

        Parameters
        ----------
        capacity_per_s
            What the service was seen to do: where the search begins.

        Returns
        -------
        tuple of float or None
            The first is ``None`` where no rate was kept, the second where the highest was.
        """
        kept, broken = None, None
        rate = _round(min(capacity_per_s, self.most_per_s))
        while broken is None:
            if await self._keeps(rate):
                kept = rate
                if rate >= min(self.most_per_s, capacity_per_s * _MOST_GROWTH):
                    return kept, None
                rate = _round(min(rate * _GROWTH, self.most_per_s))
            else:
                broken = rate
        while broken - (kept or 0.0) > self.precision * broken:
            rate = _round((broken + (kept or 0.0)) / 2)
            if rate in (kept, broken) or (kept is None and rate < capacity_per_s * _LOWEST):
                break
            if await self._keeps(rate):
                kept = rate
            else:
                broken = rate
        return kept, broken

    async def _keeps(self, rate: float) -> bool:
        probe = Probe(rate)
        self.probes.append(probe)
        target = self.profile.slo.target
        for number in range(self.repeats):
            name = f"rate-{rate:g}" + (f"-{number + 1}" if number else "")
            profile = replace(
                self.profile,
                rate_per_s=rate,
                duration_s=self._length_s(rate),
                seed=self.profile.seed + number,
            )
            probe.steps.append(await self.stepper.do(name, profile))
            if probe.verdict(target) != UNDECIDED:
                break
        low, high = probe.share.interval()
        self.stepper.say(
            f"  {rate:g}/s {probe.verdict(target)}: {low:.1%} to {high:.1%} met the SLO, "
            f"{target:.1%} must"
        )
        return probe.verdict(target) == KEPT

    def _length_s(self, rate: float) -> float:
        enough_s = _MARGIN * least_requests(self.profile.slo.target) / rate
        return float(max(self.profile.duration_s or 0.0, round(enough_s + 0.5)))


def _round(rate: float) -> float:
    """Keep three digits, as folders and people are named by it; never down to nothing."""
    return float(f"{rate:.3g}")
