# SPDX-License-Identifier: Apache-2.0
"""Rates that change with time: pieces that are straight lines, whatever the curve.

Every curve is a sequence of :class:`Segment`, so that its integral is known exactly and placing a
request is the solution of a quadratic equation at most.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from loadgen.errors import ProfileError

MAX_RATE_PER_S = 10_000

CURVES = {
    "ramp": "ramp:FROM,TO@SECONDS",
    "steps": "steps:RATE,RATE,...@SECONDS",
    "sine": "sine:MEAN,AMPLITUDE@PERIOD",
    "piecewise": "piecewise:SECOND=RATE,SECOND=RATE,...",
}
"""Name of each curve, and how it is written."""

_SINE_PIECES = 64
_NUMBER = r"\d+(?:\.\d+)?"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch in which the rate goes along a straight line.

    Parameters
    ----------
    length_s
        Its length in seconds; ``None`` for ever (the rate is then constant).
    start_per_s, end_per_s
        Rate at its two ends, in requests per second.
    """

    length_s: Fraction | None
    start_per_s: Fraction
    end_per_s: Fraction


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate over time: some segments once, then the others again and again, or the last rate.

    Parameters
    ----------
    segments
        Those that come first.
    repeats
        Whether they start over at their end; else their last rate stays.
    """

    segments: tuple[Segment, ...]
    repeats: bool = False

    def pieces(self) -> Iterator[Segment]:
        """Yield segments for ever, or up to one without an end."""
        yield from self.segments
        while self.repeats:
            yield from self.segments
        last = self.segments[-1]
        if last.length_s is not None:
            yield Segment(None, last.end_per_s, last.end_per_s)


def constant(rate_per_s: float) -> Curve:
    """Return the curve that never changes."""
    rate = Fraction(str(rate_per_s))
    return Curve((Segment(None, rate, rate),))


def parse_curve(text: str) -> Curve:
    """Read a curve as :data:`CURVES` writes it.

    ``ramp`` goes from one rate to another and stays there; ``steps`` holds each rate for so many
    seconds and stays at the last; ``sine`` swings around its mean for ever, drawn with 64 straight
    lines a period (off by 0.12 % of the amplitude at most); ``piecewise`` joins its points by
    straight lines and stays at the last, and two points at one second are a jump.

    Raises
    ------
    ProfileError
        If the text is no curve, or a rate is out of its range; the message shows the grammar.
    """
    kind, _, rest = text.partition(":")
    if kind not in CURVES:
        raise ProfileError(f"a curve is one of {'; '.join(CURVES.values())}; got {text!r}")
    try:
        curve = _points(rest) if kind == "piecewise" else _timed(kind, rest)
    except ValueError as error:
        detail = f" ({error})" if str(error) else ""
        raise ProfileError(f"write the curve as {CURVES[kind]}; got {text!r}{detail}") from error
    rates = [rate for each in curve.segments for rate in (each.start_per_s, each.end_per_s)]
    if max(rates) > MAX_RATE_PER_S or max(rates) <= 0 or curve.segments[-1].end_per_s < 0:
        raise ProfileError(f"rates of a curve must be above 0 and at most {MAX_RATE_PER_S}: {text}")
    return curve


def _timed(kind: str, text: str) -> Curve:
    match = re.fullmatch(rf"({_NUMBER}(?:,{_NUMBER})*)@({_NUMBER})", text)
    if match is None:
        raise ValueError
    rates = [Fraction(word) for word in match[1].split(",")]
    seconds = Fraction(match[2])
    if seconds <= 0:
        raise ValueError("the time must be above 0")
    if kind == "steps":
        return Curve(tuple(Segment(seconds, rate, rate) for rate in rates))
    if len(rates) != 2:
        raise ValueError("it takes two rates")
    if kind == "ramp":
        return Curve((Segment(seconds, rates[0], rates[1]),))
    if rates[1] > rates[0]:
        raise ValueError("the amplitude must be at most the mean")
    return _sine(rates[0], rates[1], seconds)


def _sine(mean: Fraction, amplitude: Fraction, period_s: Fraction) -> Curve:
    # Rounded, so that a sine that differs in its last bit on another machine makes no difference.
    heights = [
        Fraction(round(math.sin(2 * math.pi * place / _SINE_PIECES), 9)).limit_denominator(10**9)
        for place in range(_SINE_PIECES + 1)
    ]
    return Curve(
        tuple(
            Segment(period_s / _SINE_PIECES, mean + amplitude * low, mean + amplitude * high)
            for low, high in pairwise(heights)
        ),
        repeats=True,
    )


def _points(text: str) -> Curve:
    points: list[tuple[Fraction, Fraction]] = []
    for word in text.split(","):
        match = re.fullmatch(rf"({_NUMBER})=({_NUMBER})", word)
        if match is None:
            raise ValueError(f"{word!r} is no point")
        points.append((Fraction(match[1]), Fraction(match[2])))
    if points[0][0] != 0:
        raise ValueError("the first point must be at second 0")
    if any(later < earlier for (earlier, _), (later, _) in pairwise(points)):
        raise ValueError("the points must be in the order of time")
    if len(points) == 1:
        return Curve((Segment(None, points[0][1], points[0][1]),))
    segments = [Segment(t1 - t0, r0, r1) for (t0, r0), (t1, r1) in pairwise(points) if t1 > t0]
    last_rate = points[-1][1]
    return Curve((*segments, Segment(None, last_rate, last_rate)))
