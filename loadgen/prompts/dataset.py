# SPDX-License-Identifier: Apache-2.0
"""Prompts from files: JSON Lines, and ShareGPT's conversations as lines or as one array.

Read piece by piece: no more of a file is held than the conversations that a run needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from loadgen.errors import ProfileError
from loadgen.prompts.spec import ASSISTANT, SYSTEM, USER, Message, Prompt

MAX_ITEMS = 10_000
"""How many conversations of a file are used; a longer run starts over."""

_ROLES = {
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bing": ASSISTANT,
    "bard": ASSISTANT,
    "system": SYSTEM,
}
_TEXT_KEYS = ("prompt", "text")
_LENGTH_KEYS = ("output_tokens", "max_tokens", "output_length")
_PIECE = 1 << 16
_LONGEST_ITEM = 1 << 25


@dataclass(frozen=True, slots=True)
class Item:
    """One conversation of a file.

    Parameters
    ----------
    messages
        At least one of them the user's.
    whole
        Whether a single request sends all of it (OpenAI's ``messages``) or its first question
        (ShareGPT's ``conversations``).
    output_tokens
        How long an answer the file asks for, if it does.
    """

    messages: tuple[Message, ...]
    whole: bool
    output_tokens: int | None = None

    def prompt(self, turn: int, turns: int) -> Prompt:
        """Return the question of one turn with what was said before it.

        A conversation of fewer questions stays at its last one.
        """
        asked = [place for place, message in enumerate(self.messages) if message.role == USER]
        place = asked[-1] if turns == 1 and self.whole else asked[min(turn, len(asked) - 1)]
        return Prompt(self.messages[: place + 1])


def read_dataset(path: Path, form: str = "auto", limit: int = MAX_ITEMS) -> list[Item]:
    """Read up to ``limit`` conversations.

    Parameters
    ----------
    path
        A file of JSON objects, one a line or in one array.
    form
        ``jsonl`` objects have a ``prompt`` (or ``text``) or ``messages``, and may say how many
        ``output_tokens`` (or ``max_tokens``, ``output_length``) to ask for; ``sharegpt`` ones have
        ``conversations``; ``auto`` takes both.

    Raises
    ------
    ProfileError
        If the file can't be read or has something else in it; the message says where.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            values = islice(_values(path, file), limit)
            found = [_item(path, where, value, form) for where, value in values]
    except OSError as error:
        raise ProfileError(f"can't read the prompts {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: the prompts are no text: {error}") from error
    items = [item for item in found if item is not None]
    if not items:
        raise ProfileError(f"{path}: no prompt in it")
    return items


def _values(path: Path, file: TextIO) -> Iterator[tuple[str, Any]]:
    head = file.read(1)
    while head.isspace():
        head = file.read(1)
    if head == "[":
        yield from _array(path, file)
        return
    for number, line in enumerate(_lines(head, file), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                raise ProfileError(f"{path}, line {number} is no JSON: {error}") from error


def _lines(head: str, file: TextIO) -> Iterator[str]:
    first = file.readline(_LONGEST_ITEM)
    if head or first:
        yield head + first
    while line := file.readline(_LONGEST_ITEM):
        yield line


def _array(path: Path, file: TextIO) -> Iterator[tuple[str, Any]]:
    """Yield an array's elements, with no more than one of them in memory."""
    decoder, buffer, number, ended = json.JSONDecoder(), "", 0, False
    while True:
        buffer = buffer.lstrip().removeprefix(",").lstrip()
        if buffer.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(buffer)
        except ValueError as error:
            if ended or len(buffer) > _LONGEST_ITEM:
                raise ProfileError(f"{path}, element {number + 1} is no JSON: {error}") from error
            piece = file.read(max(_PIECE, len(buffer)))
            ended = not piece
            buffer += piece
            continue
        number += 1
        buffer = buffer[end:]
        yield f"element {number}", value


def _item(path: Path, where: str, value: Any, form: str) -> Item | None:
    """Read one object; ``None`` for a conversation in which nobody asks anything."""
    try:
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
        messages, whole = _messages(value, form)
        length = next((value[key] for key in _LENGTH_KEYS if value.get(key) is not None), None)
        if length is not None and (type(length) is not int or length < 1):
            raise ValueError(f"the output's length is no whole number from 1: {length!r}")
    except ValueError as error:
        raise ProfileError(f"{path}, {where}: {error}") from error
    if all(message.role != USER for message in messages):
        return None
    return Item(messages, whole, length)


def _messages(value: dict[str, Any], form: str) -> tuple[tuple[Message, ...], bool]:
    if form != "jsonl" and "conversations" in value:
        return _chat(value["conversations"], "from", "value"), False
    if form != "sharegpt":
        if "messages" in value:
            return _chat(value["messages"], "role", "content"), True
        for key in _TEXT_KEYS:
            if isinstance(value.get(key), str) and value[key].strip():
                return (Message(USER, value[key]),), True
    wanted = {"sharegpt": "conversations", "jsonl": "prompt, text or messages"}
    raise ValueError(f"it has no {wanted.get(form, 'prompt, text, messages or conversations')}")


def _chat(value: Any, role_key: str, text_key: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise ValueError("the conversation is no list")
    messages = []
    for each in value:
        text = each.get(text_key) if isinstance(each, dict) else None
        if not isinstance(text, str):
            raise ValueError(f"a message has no text under {text_key!r}")
        role = _ROLES.get(str(each.get(role_key)))
        if role is not None and text.strip():
            messages.append(Message(role, text))
    return tuple(messages)
