# SPDX-License-Identifier: Apache-2.0
"""How sure a share or a slope is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """A share that was seen, ``kept`` of ``due``, with its Wilson interval (Wilson 1927)."""

    kept: int
    due: int

    @property
    def seen(self) -> float:
        """The share itself; nothing due is nothing kept."""
        return self.kept / self.due if self.due else 0.0

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return both ends of the two-sided interval."""
        if not self.due:
            return 0.0, 1.0
        z = _z(confidence)
        spread = z * z / self.due
        middle = (self.seen + spread / 2) / (1 + spread)
        half = math.sqrt(self.seen * (1 - self.seen) * spread + spread * spread / 4) / (1 + spread)
        return max(0.0, middle - half), min(1.0, middle + half)

    def add(self, other: Share) -> Share:
        """Pool two samples."""
        return Share(self.kept + other.kept, self.due + other.due)


def least_requests(target: float, confidence: float = CONFIDENCE) -> int:
    """Return how many requests it takes to show ``target`` if every one of them keeps it.

    A target of 1 can't be shown by any number.
    """
    z = _z(confidence)
    return math.ceil(z * z * target / (1 - target))


def least_slope(values: Sequence[float], errors: float = 3.0) -> float:
    """Return the slope of a straight line through equally spaced values, less some standard errors.

    Least squares. Fewer than three values have no error to speak of: minus infinity.
    """
    count = len(values)
    if count < 3:
        return -math.inf
    centre, mean = (count - 1) / 2, fmean(values)
    width = sum((place - centre) ** 2 for place in range(count))
    slope = sum((place - centre) * value for place, value in enumerate(values)) / width
    rest = sum((value - mean - slope * (place - centre)) ** 2 for place, value in enumerate(values))
    return slope - errors * math.sqrt(rest / (count - 2) / width)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
