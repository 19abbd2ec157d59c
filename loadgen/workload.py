# SPDX-License-Identifier: Apache-2.0
"""Parts of a profile: where the load comes from, how long answers are, and how they are asked for.

Each is checked when it is made; :class:`loadgen.profile.Profile` puts them together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from loadgen.checks import check_choice, check_number
from loadgen.errors import ProfileError

LENGTHS = ("constant", "uniform", "exponential", "normal")
THINKING = ("constant", "exponential")
TRACE_FORMATS = ("auto", "azure", "burstgpt", "mooncake")

_TRIES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """Requests that come all at once, again and again.

    Parameters
    ----------
    every_s
        Seconds between bursts; the first comes at once.
    size
        Requests of each.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    every_s: float
    size: int

    def __post_init__(self) -> None:
        check_number("burst every_s", self.every_s, above=0, most=86_400)
        check_number("burst size", self.size, least=1, most=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """Users who each wait for an answer, think, and ask again.

    The load depends on the service: it can't show what a stall costs. That is what it is for
    (capacity, Little's law), and why it is not the default.

    Parameters
    ----------
    users
        How many.
    think_s
        Mean time between an answer's end and the next request, in seconds.
    thinking
        ``constant`` or ``exponential``.
    spawn_per_s
        Users that start per second. ``None`` starts all within the first second, at random.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    users: int
    think_s: float = 0.0
    thinking: str = "constant"
    spawn_per_s: float | None = None

    def __post_init__(self) -> None:
        check_number("users", self.users, least=1, most=100_000)
        check_number("think_s", self.think_s, least=0, most=86_400)
        check_choice("thinking", self.thinking, THINKING)
        if self.spawn_per_s is not None:
            check_number("spawn_per_s", self.spawn_per_s, above=0, most=100_000)

    def start_ns(self, seed: int, user: int) -> int:
        """Return when a user sends the first request, nanoseconds after the start."""
        if self.spawn_per_s is not None:
            return round(user / self.spawn_per_s * 1e9)
        if self.users == 1:
            return 0
        return round(_rng("start", seed, user).random() * 1e9)

    def think_ns(self, seed: int, index: int) -> int:
        """Return how long is thought before request ``index``, in nanoseconds."""
        if self.thinking == "constant" or self.think_s == 0:
            return round(self.think_s * 1e9)
        return round(_rng("think", seed, index).expovariate(1 / self.think_s) * 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recorded load to play again: its times and its lengths.

    Parameters
    ----------
    path
        The file.
    format
        One of :data:`TRACE_FORMATS`; ``auto`` looks at the first line.
    speed
        How much faster than recorded: 2 halves every gap.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    path: Path
    format: str = "auto"
    speed: float = 1.0

    def __post_init__(self) -> None:
        check_choice("trace format", self.format, TRACE_FORMATS)
        check_number("trace speed", self.speed, above=0, most=1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How the lengths of answers are distributed; their mean is ``output_tokens``.

    Parameters
    ----------
    distribution
        ``constant``; ``uniform`` and ``normal``, with a spread of ``range`` times the mean to each
        side or as standard deviation; ``exponential``.
    range
        Relative width of ``uniform`` and ``normal``.
    cap
        Longest answer that is asked for. The distribution is truncated there, not piled up.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    distribution: str = "constant"
    range: float = 0.3
    cap: int | None = None

    def __post_init__(self) -> None:
        check_choice("output distribution", self.distribution, LENGTHS)
        check_number("output range", self.range, least=0, most=10)
        if self.cap is not None:
            check_number("output cap", self.cap, least=1, most=1_000_000)

    def at(self, seed: int, index: int, mean: int) -> int:
        """Return the length of answer ``index``, at least one token.

        A distribution that a thousand draws don't bring under the cap gives the cap.
        """
        cap = self.cap or 1_000_000
        if self.distribution == "constant":
            return min(mean, cap)
        rng = _rng("output", seed, index)
        for _ in range(_TRIES):
            length = round(self._draw(rng, mean))
            if 1 <= length <= cap:
                return length
        return min(mean, cap)

    def _draw(self, rng: random.Random, mean: int) -> float:
        match self.distribution:
            case "uniform":
                return rng.uniform(mean * (1 - self.range), mean * (1 + self.range))
            case "exponential":
                return rng.expovariate(1 / mean)
            case _:
                return rng.gauss(mean, mean * self.range)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Which of a provider's ways to ask is used.

    Parameters
    ----------
    endpoint
        ``chat`` or ``completions``; providers with one endpoint of their own take either.
    stream
        Whether tokens come as they are made.
    temperature
        Of the sampling.
    logprobs
        How many alternatives of each token to ask for, ``None`` for no log probabilities at all.
        They count tokens where the service gives no usage, and make its answers heavier.

    Raises
    ------
    ProfileError
        If a value is out of its range.
    """

    endpoint: str = "chat"
    stream: bool = True
    temperature: float = 0.0
    logprobs: int | None = None

    def __post_init__(self) -> None:
        check_choice("endpoint", self.endpoint, ("chat", "completions"))
        check_number("temperature", self.temperature, least=0, most=10)
        if self.logprobs is not None:
            check_number("logprobs", self.logprobs, least=0, most=20)


def check_one_source(sources: dict[str, object]) -> str:
    """Return the name of the one load that is given.

    Raises
    ------
    ProfileError
        If there is none, or more than one.
    """
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ProfileError(f"give one load, of {', '.join(sources)}; got {found}")
    return given[0]


def _rng(what: str, seed: int, index: int) -> random.Random:
    return random.Random(f"{what}/{seed}/{index}")  # noqa: S311 - a load, no secret
