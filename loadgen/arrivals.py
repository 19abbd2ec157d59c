# SPDX-License-Identifier: Apache-2.0
"""How irregularly requests follow each other, apart from how many there are.

A renewal process of rate one gives points on a line; the integral of the rate carries them over to
time (:func:`place`). So each distribution of gaps goes with each :class:`~loadgen.curves.Curve`:
Poisson gaps on a changing rate, for one, are the inhomogeneous Poisson process (Cinlar 1975,
section 4.7).

Points are whole multiples of 1 / :data:`UNIT`: sums are exact, and the same on every machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from loadgen.checks import check_choice, check_number
from loadgen.curves import Segment

ARRIVALS = ("constant", "uniform", "poisson", "gamma")
UNIT = 1 << 32

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The distribution of the gaps between requests; its mean is the rate's business.

    Parameters
    ----------
    distribution
        ``constant``; ``uniform``, between nothing and twice the mean; ``poisson``, exponential
        gaps; ``gamma``.
    burstiness
        Shape of the gamma distribution, as vLLM's benchmark has it: 1 is Poisson, less comes in
        bursts, more is more regular. The coefficient of variation is ``1 / sqrt(burstiness)``.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    distribution: str = "constant"
    burstiness: float = 1.0

    def __post_init__(self) -> None:
        check_choice("arrivals", self.distribution, ARRIVALS)
        check_number("burstiness", self.burstiness, above=0, most=1e6)

    def points(self, seed: int) -> Iterator[int]:
        """Yield ascending points of a process of rate one, in units of 1 / :data:`UNIT`.

        A constant process starts at 0, the others with a gap.
        """
        # A text seed is hashed with SHA-512 by `random`: no PYTHONHASHSEED in it.
        rng = random.Random(f"arrivals/{seed}")  # noqa: S311 - a load, no secret
        point = 0
        while True:
            if self.distribution == "constant":
                yield point
                point += UNIT
            else:
                point += round(self._gap(rng) * UNIT)
                yield point

    def _gap(self, rng: random.Random) -> float:
        match self.distribution:
            case "uniform":
                return 2 * rng.random()
            case "poisson":
                return -math.log(1 - rng.random())
            case _:
                return rng.gammavariate(self.burstiness, 1 / self.burstiness)


def place(points: Iterator[int], segments: Iterator[Segment]) -> Iterator[tuple[int, int]]:
    """Carry points of a process of rate one over to a rate that changes.

    Parameters
    ----------
    points
        Ascending, in units of 1 / :data:`UNIT`.
    segments
        The rate; the points end where it ends.

    Yields
    ------
    tuple of int and int
        Number of the segment that a point fell into, and its time (ns), ascending. A point on the
        border of two segments belongs to the later one.
    """
    point = next(points)
    start_s = passed = Fraction(0)
    for number, segment in enumerate(segments):
        start, end, length_s = segment.start_per_s, segment.end_per_s, segment.length_s
        if length_s == 0:
            continue
        if length_s is None and start == 0:
            return
        border = None if length_s is None else passed + (start + end) / 2 * length_s * UNIT
        solve = _line(start_s, passed, start) if start == end else _slope(start_s, passed, segment)
        while border is None or point < border:
            yield number, solve(point)
            point = next(points)
        if length_s is None or border is None:
            return
        start_s, passed = start_s + length_s, border


def _line(start_s: Fraction, passed: Fraction, rate: Fraction) -> _Solver:
    """Return the time of a point on a constant rate, exact and rounded down."""
    if rate == 0:
        return _Solver(0, 0, 1)
    step = Fraction(_NS, UNIT) / rate
    first = start_s * _NS - passed * step
    bottom = math.lcm(step.denominator, first.denominator)
    return _Solver(int(step * bottom), int(first * bottom), bottom)


@dataclass(frozen=True, slots=True)
class _Solver:
    """``(factor * point + term) // bottom``."""

    factor: int
    term: int
    bottom: int

    def __call__(self, point: int) -> int:
        return (self.factor * point + self.term) // self.bottom


@dataclass(frozen=True, slots=True)
class _SlopeSolver:
    """The time at which the integral of a straight line reaches a point."""

    start_ns: int
    end_ns: int
    passed: Fraction
    rate: float
    slope: float

    def __call__(self, point: int) -> int:
        excess = point * self.passed.denominator - self.passed.numerator
        area = excess / (self.passed.denominator * UNIT)
        # The form of the quadratic's root that loses no digits where the slope is small; IEEE 754
        # rounds square roots in one way only.
        root = math.sqrt(max(0.0, self.rate * self.rate + 2 * self.slope * area))
        seconds = 2 * area / (self.rate + root) if area else 0.0
        return min(self.end_ns, self.start_ns + int(seconds * _NS))


def _slope(start_s: Fraction, passed: Fraction, segment: Segment) -> _SlopeSolver:
    if segment.length_s is None:
        raise ValueError("a segment without an end can't slope")
    return _SlopeSolver(
        start_ns=math.floor(start_s * _NS),
        end_ns=math.floor((start_s + segment.length_s) * _NS),
        passed=passed,
        rate=float(segment.start_per_s),
        slope=float((segment.end_per_s - segment.start_per_s) / segment.length_s),
    )
