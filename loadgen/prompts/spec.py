# SPDX-License-Identifier: Apache-2.0
"""Which prompts to send, as the profile has it, and what one prompt is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from loadgen.checks import check_choice, check_number
from loadgen.errors import ProfileError

MIN_PROMPT_TOKENS = 8
"""Shortest prompt: fewer words could not be told from another request's."""

PROMPTS = ("synthetic", "padding", "text", "file")
DATASETS = ("auto", "jsonl", "sharegpt")

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


class Message(NamedTuple):
    """One message of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one request asks: the messages of a chat, the last one the user's."""

    messages: tuple[Message, ...]

    @property
    def text(self) -> str:
        """The prompt for services that know no chat: a conversation is told line by line."""
        if len(self.messages) == 1:
            return self.messages[0].content
        lines = [f"{message.role}: {message.content}" for message in self.messages]
        return "\n".join([*lines, f"{ASSISTANT}:"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Where prompts come from; their length is the profile's ``prompt_tokens``.

    Parameters
    ----------
    kind
        ``synthetic``, random words; ``padding``, the reference tool's; ``text``, always the same
        one; ``file``, those of a file, in its order and again from its start.
    exact
        Calibrate synthetic prompts on the service's own count of tokens before the run.
    shared_tokens
        How many tokens of a synthetic prompt are a prefix that others have too.
    groups, zipf
        How many such prefixes there are, and how unevenly they are used: the chance of the k-th is
        proportional to ``1 / k ** zipf``.
    turns, sessions
        Requests of one conversation, each with the turns before it in its prompt; and, in an open
        loop, how many conversations are led side by side (in a closed one it is the users).
    text
        The text, for ``text``.
    randomize
        Put ten random letters in front of ``padding`` and ``text``, against prefix caches.
    chars
        Length of ``padding`` in characters, instead of tokens.
    path, format
        The file, for ``file``, and one of :data:`DATASETS`.

    Raises
    ------
    ProfileError
        If a value is out of its range, or missing, or of no use with this kind.
    """

    kind: str = "synthetic"
    exact: bool = False
    shared_tokens: int = 0
    groups: int = 1
    zipf: float = 0.0
    turns: int = 1
    sessions: int = 16
    text: str | None = None
    randomize: bool = False
    chars: int | None = None
    path: Path | None = None
    format: str = "auto"

    def __post_init__(self) -> None:
        check_choice("prompts", self.kind, PROMPTS)
        check_choice("prompt file format", self.format, DATASETS)
        check_number("shared_tokens", self.shared_tokens, least=0, most=1_000_000)
        check_number("prefix groups", self.groups, least=1, most=1_000_000)
        check_number("zipf", self.zipf, least=0, most=10)
        check_number("turns", self.turns, least=1, most=1000)
        check_number("sessions", self.sessions, least=1, most=100_000)
        if (self.kind == "text") != (self.text is not None):
            raise ProfileError("prompts of kind text need a text, and no other kind takes one")
        if self.text is not None and not self.text.strip():
            raise ProfileError("the prompt's text must not be empty")
        if (self.kind == "file") != (self.path is not None):
            raise ProfileError("prompts of kind file need a path, and no other kind takes one")
        if self.kind != "synthetic" and (self.exact or self.shared_tokens):
            raise ProfileError("only synthetic prompts can be exact or share a prefix")
        if self.kind not in ("padding", "text") and self.randomize:
            raise ProfileError("only prompts of kind padding or text can be randomized")
        if self.chars is not None:
            if self.kind != "padding":
                raise ProfileError("only prompts of kind padding have a length in characters")
            check_number("prompt chars", self.chars, least=1, most=10_000_000)
        if self.kind in ("padding", "text") and self.turns > 1:
            raise ProfileError("only synthetic prompts and those of a file have turns")
