# SPDX-License-Identifier: Apache-2.0
"""What a dialect of the mock is: how a request is read, and what its answer looks like.

A dialect is a module of :mod:`loadgen.mock.faces` with a ``FACE``; nothing else lists it. It knows
nothing of time, queues and faults: that is the server's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol

import orjson

from loadgen.mock import faces as _package
from loadgen.mock.settings import MockSettings

DEFAULT_OUTPUT_TOKENS = 16


class BadRequestError(Exception):
    """The request's body can't be served; the text says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for.

    Parameters
    ----------
    name
        Name of the answer.
    path
        Where it came to.
    prompt
        Its text.
    prompt_tokens, output_tokens
        Lengths.
    stream
        Whether tokens are sent as they are made.
    options
        What else a dialect wants to remember of the body.
    """

    name: str
    path: str
    prompt: str
    prompt_tokens: int
    output_tokens: int
    stream: bool
    options: dict[str, Any] = field(default_factory=dict)


class Face(Protocol):
    """One dialect."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Paths that are posted to, as aiohttp writes them."""

    def read(self, settings: MockSettings, name: str, path: str, body: dict[str, Any]) -> Asked:
        """Read a request; raises :class:`BadRequestError`."""

    def opening(self, settings: MockSettings, asked: Asked) -> bytes:
        """Return what comes before the first token."""

    def token(self, settings: MockSettings, asked: Asked, number: int) -> bytes:
        """Return the frame of a token, counted from 1."""

    def ending(self, settings: MockSettings, asked: Asked) -> bytes:
        """Return what comes after the last token."""

    def whole(self, settings: MockSettings, asked: Asked) -> dict[str, Any]:
        """Return an answer that is no stream."""

    def error(self, message: str, status: int) -> dict[str, Any]:
        """Return what an error looks like, within a stream or instead of an answer."""


@cache
def faces() -> tuple[Face, ...]:
    """Return every dialect."""
    return tuple(
        import_module(f"{_package.__name__}.{module.name}").FACE
        for module in iter_modules(_package.__path__)
    )


def frame(value: Any) -> bytes:
    """Write one server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def word(number: int) -> str:
    """Return the text of a token."""
    return f"t{number} "


def words(count: int) -> str:
    """Return the text of an answer."""
    return "".join(map(word, range(1, count + 1)))


def count_tokens(settings: MockSettings, *texts: Any) -> int:
    """Count a prompt's tokens: the template's, one a word, and two a long word.

    Raises
    ------
    BadRequestError
        If something is no text.
    """
    count = settings.template_tokens
    for text in texts:
        if not isinstance(text, str):
            raise BadRequestError("the prompt must be a text")
        for each in text.split():
            count += 1 + (0 < settings.split_above < len(each))
    return count


def check_length(settings: MockSettings, value: Any, key: str) -> int:
    """Return how many tokens are asked for.

    Raises
    ------
    BadRequestError
        If it is no number, or too many.
    """
    if type(value) is not int or not 1 <= value <= settings.max_tokens:
        raise BadRequestError(f"{key} must be from 1 to {settings.max_tokens}")
    return value
