# SPDX-License-Identifier: Apache-2.0
"""Prompts of an exact length in the service's own tokens, with no tokenizer and no hub.

The service itself counts: a few requests for one token each find the words that it takes for one
token, and what it adds to every prompt (the template, the first word). From then on, words and
tokens differ by a constant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadgen.errors import ProfileError, TargetError
from loadgen.prompts.synthetic import WORDS, text

Count = Callable[[str], Awaitable[int]]
"""Asks the service how many tokens a prompt of this text has."""

_LEAD = "Words: "
_MAX_PROBES = 48
_ENOUGH_WORDS = 64


@dataclass(frozen=True, slots=True)
class Calibration:
    """How words and tokens go together.

    Parameters
    ----------
    vocabulary
        Words to write prompts with.
    lead
        What each prompt starts with, so that every other word follows a space.
    overhead_tokens
        What the service counts for a prompt of no words.
    tokens_per_word
        1 where the vocabulary is exact.
    exact
        Whether a test prompt came out to the token.
    probes
        How many requests it took.
    """

    vocabulary: tuple[str, ...] = WORDS
    lead: str = ""
    overhead_tokens: int = 0
    tokens_per_word: float = 1.0
    exact: bool = False
    probes: int = 0

    def words(self, tokens: int) -> int:
        """Return how many words make a prompt of so many tokens, at least one."""
        return max(1, round((tokens - self.overhead_tokens) / self.tokens_per_word))

    def to_dict(self) -> dict[str, Any]:
        """Return what the summary says of it."""
        return {
            "exact": self.exact,
            "overhead_tokens": self.overhead_tokens,
            "tokens_per_word": self.tokens_per_word,
            "vocabulary": len(self.vocabulary),
            "probes": self.probes,
        }


UNCALIBRATED = Calibration()
"""One word, one token, and nothing added."""


async def calibrate(count: Count, seed: int) -> Calibration:
    """Find words of one token each, and the tokens that every prompt has.

    The vocabulary is counted once and twice over: the difference is its length, the rest is added
    by the service. A part of it that is longer in tokens than in words is halved and counted again,
    until the words of several tokens are found.

    Parameters
    ----------
    count
        Asks the service.
    seed
        Of the test prompt.

    Raises
    ------
    TargetError
        If the service's counts make no sense.
    """
    probes = 0

    async def tokens(words: Sequence[str]) -> int:
        nonlocal probes
        probes += 1
        return await count(_LEAD + " ".join(words))

    once = await tokens(WORDS)
    length = await tokens(WORDS * 2) - once
    overhead = once - length
    if length < len(WORDS) / 4 or overhead < 0:
        raise TargetError(
            f"the service counts {once} tokens for {len(WORDS)} words and {once + length} for "
            "twice as many: prompts can't be calibrated on that, leave out exact prompts"
        )
    single: list[str] = []
    unsure = [(WORDS, length)]
    while unsure:
        words, found = unsure.pop()
        if found == len(words):
            single.extend(words)
        elif len(words) > 1 and probes < _MAX_PROBES:
            first, second = words[: len(words) // 2], words[len(words) // 2 :]
            part = await tokens(first) - overhead
            unsure += [(first, part), (second, found - part)]
    # In the order of the whole vocabulary, so that the way of the search leaves no trace.
    vocabulary = tuple(word for word in WORDS if word in set(single))
    exact = len(vocabulary) >= _ENOUGH_WORDS
    ratio = 1.0
    if not exact:
        vocabulary, ratio = WORDS, length / len(WORDS)
    test = text(f"calibration/{seed}", 100, vocabulary).split()
    seen = await tokens(test)
    return Calibration(
        vocabulary=vocabulary,
        lead=_LEAD,
        overhead_tokens=overhead,
        tokens_per_word=ratio,
        exact=exact and seen == overhead + len(test),
        probes=probes,
    )


def check_room(calibration: Calibration, prompt_tokens: int, shared_tokens: int) -> None:
    """Raise if a prompt of that length has no room for words of its own.

    Raises
    ------
    ProfileError
        With the shortest length that has.
    """
    least = calibration.overhead_tokens + shared_tokens + 1
    if prompt_tokens < least:
        raise ProfileError(
            f"prompt_tokens must be at least {least}: the service adds "
            f"{calibration.overhead_tokens} tokens to every prompt"
            + (f", and {shared_tokens} are shared" if shared_tokens else "")
        )
