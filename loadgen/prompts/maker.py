# SPDX-License-Identifier: Apache-2.0
"""The prompt and the length of each request, by its index alone."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from loadgen.profile import Profile
from loadgen.prompts.calibration import UNCALIBRATED, Calibration
from loadgen.prompts.dataset import Item, read_dataset
from loadgen.prompts.padding import letters, padding, padding_chars
from loadgen.prompts.spec import ASSISTANT, USER, Message, Prompt
from loadgen.prompts.synthetic import shared_text, text
from loadgen.schedule import Rows
from loadgen.trace import BLOCK_TOKENS


@dataclass(frozen=True, slots=True)
class Question:
    """What one request asks."""

    prompt: Prompt
    output_tokens: int


class PromptMaker:
    """Makes the questions of a run; any process makes the same one of an index.

    Parameters
    ----------
    profile
        Of the run.
    rows
        Recorded lengths, where the load is a trace.
    calibration
        How words and the service's tokens go together.

    Raises
    ------
    ProfileError
        If the file of prompts can't be used.
    """

    def __init__(
        self, profile: Profile, rows: Rows | None = None, calibration: Calibration = UNCALIBRATED
    ) -> None:
        self._profile = profile
        self._rows = rows if rows is not None and len(rows) else None
        self._calibration = calibration
        spec = profile.prompts
        self._items: Sequence[Item] = (
            read_dataset(spec.path, spec.format) if spec.path is not None else ()
        )
        self._sessions = profile.closed.users if profile.closed else spec.sessions
        self._shares = _zipf_shares(spec.groups, spec.zipf)
        self._padding = (
            ""
            if spec.kind != "padding"
            else padding_chars(spec.chars)
            if spec.chars is not None
            else padding(profile.prompt_tokens, randomize=spec.randomize)
        )

    def at(self, index: int) -> Question:
        """Return the question of request ``index``."""
        profile, spec = self._profile, self._profile.prompts
        conversation, turn = self._place(index)
        if self._items:
            item = self._items[conversation % len(self._items)]
            length = item.output_tokens or self._length(index)
            return Question(item.prompt(turn, spec.turns), length)
        if spec.kind != "synthetic":
            front = letters(profile.seed, index) if spec.randomize else ""
            return _ask(front + (spec.text or self._padding), self._length(index))
        if self._rows is not None:
            return _ask(self._recorded(self._rows, index), self._length(index))
        return Question(self._synthetic(conversation, turn), self._length(index))

    def _place(self, index: int) -> tuple[int, int]:
        """Return which conversation a request belongs to, and which turn of it it is.

        Conversations are led side by side, :attr:`_sessions` at a time, so that the turns of one
        lie that many requests apart: in a closed loop, they are those of one user.
        """
        turns, sessions = self._profile.prompts.turns, self._sessions
        block, place = divmod(index, sessions * turns)
        turn, session = divmod(place, sessions)
        return block * sessions + session, turn

    def _length(self, index: int) -> int:
        profile = self._profile
        if self._rows is not None:
            recorded = self._rows.output_tokens[index]
            return min(recorded, profile.outputs.cap or recorded)
        return profile.outputs.at(profile.seed, index, profile.output_tokens)

    def _synthetic(self, conversation: int, turn: int) -> Prompt:
        turns = self._profile.prompts.turns
        messages = []
        for earlier in range(turn + 1):
            number = conversation * turns + earlier
            messages.append(Message(USER, self._words(number, self._profile.prompt_tokens)))
            if earlier < turn:
                # The history is made up, so that it doesn't hang on what the service answers.
                said = text(f"answer/{self._profile.seed}/{number}", self._length(number))
                messages.append(Message(ASSISTANT, said))
        return Prompt(tuple(messages))

    def _words(self, number: int, tokens: int) -> str:
        profile, calibration = self._profile, self._calibration
        shared = profile.prompts.shared_tokens
        words = calibration.words(tokens)
        name = f"prompt/{profile.seed}/{number}"
        if not shared:
            return calibration.lead + text(name, words, calibration.vocabulary)
        prefix = shared_text(
            f"prefix/{profile.seed}/{self._group(number)}", shared, calibration.vocabulary
        )
        own = text(name, max(1, words - shared), calibration.vocabulary)
        return f"{calibration.lead}{prefix} {own}"

    def _group(self, number: int) -> int:
        if len(self._shares) == 1:
            return 0
        rng = random.Random(f"group/{self._profile.seed}/{number}")  # noqa: S311 - no secret
        return bisect_right(self._shares, rng.random() * self._shares[-1])

    def _recorded(self, rows: Rows, index: int) -> str:
        """Write a prompt of a recorded length, whose blocks are those of others as recorded."""
        seed, calibration = self._profile.seed, self._calibration
        left = calibration.words(rows.prompt_tokens[index])
        parts = []
        for block in rows.blocks_of(index):
            words = min(BLOCK_TOKENS, left)
            if words:
                parts.append(shared_text(f"block/{seed}/{block}", words, calibration.vocabulary))
            left -= words
        if left:
            parts.append(text(f"prompt/{seed}/{index}", left, calibration.vocabulary))
        return calibration.lead + " ".join(parts)


def _ask(content: str, output_tokens: int) -> Question:
    return Question(Prompt((Message(USER, content),)), output_tokens)


def _zipf_shares(groups: int, exponent: float) -> list[float]:
    """Return the cumulated weights of the prefixes, the most used first."""
    return list(accumulate((rank + 1) ** -exponent for rank in range(groups)))
