# SPDX-License-Identifier: Apache-2.0
"""OpenAI's streaming chat, as OpenAI and its many followers speak it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from loadgen.outcomes import Outcome
from loadgen.provider import Reading
from loadgen.sse import events

_DONE = b"[DONE]"
_TEXT_KEYS = ("content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """``POST /v1/chat/completions`` with ``stream``; ``[DONE]`` is the terminal frame.

    Parameters
    ----------
    name
        Name of the dialect.
    extra
        Further keys of the request's body.
    """

    name: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Path of the endpoint."""
        return "/v1/chat/completions"

    def body(self, *, model: str, prompt: str, output_tokens: int) -> bytes:
        """Write the body; it asks for the usage frame, so that tokens needn't be guessed."""
        return orjson.dumps(
            {
                "model": model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": output_tokens,
                "temperature": 0.0,
                "stream": True,
                "stream_options": {"include_usage": True},
                **self.extra,
            }
        )

    def read(self, chunks: Sequence[tuple[int, bytes]]) -> Reading:
        """Read the frames of a chat stream.

        An error frame decides the outcome whatever follows it; so does a frame that isn't a chat
        chunk. Frames before it still count, so that a partial answer keeps its tokens and times.
        """
        state = _State()
        for arrival_ns, data in events(chunks):
            if data == _DONE:
                state.terminal_ns = arrival_ns
                break
            try:
                state.take(arrival_ns, orjson.loads(data))
            except (orjson.JSONDecodeError, _ChunkError) as error:
                state.fail(Outcome.MALFORMED, f"{error}: {data[:200]!r}")
                break
        return state.reading(chunks)


class _ChunkError(Exception):
    """A frame is JSON, but no chat chunk."""


@dataclass(slots=True)
class _State:
    """What the frames so far add up to."""

    outcome: Outcome | None = None
    error: str | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    terminal_ns: int | None = None
    content_frames: int = 0
    frames: int = 0
    prompt_tokens: int | None = None
    output_tokens: int | None = None

    def fail(self, outcome: Outcome, error: str) -> None:
        if self.outcome is None:
            self.outcome, self.error = outcome, error

    def take(self, arrival_ns: int, frame: Any) -> None:
        if not isinstance(frame, dict):
            raise _ChunkError("frame is no JSON object")
        self.frames += 1
        if frame.get("error") is not None:
            self.fail(Outcome.INBAND_ERROR, _error_text(frame["error"]))
            return
        self._take_usage(frame.get("usage"))
        if _has_text(frame.get("choices")):
            self.content_frames += 1
            self.last_ns = arrival_ns
            if self.first_ns is None:
                self.first_ns = arrival_ns

    def _take_usage(self, usage: Any) -> None:
        """Keep the newest counts: usage is cumulative where it comes with each chunk."""
        if usage is None:
            return
        if not isinstance(usage, dict):
            raise _ChunkError("usage is no JSON object")
        self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
        self.output_tokens = _count(usage.get("completion_tokens"), self.output_tokens)

    def reading(self, chunks: Sequence[tuple[int, bytes]]) -> Reading:
        counted = self.output_tokens is not None
        outcome, error = self._verdict(chunks)
        return Reading(
            outcome=outcome,
            error=error,
            first_token_ns=self.first_ns,
            last_token_ns=self.last_ns,
            terminal_ns=self.terminal_ns,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens if counted else self.content_frames or None,
            token_source="usage" if counted else "chunks" if self.content_frames else None,
        )

    def _verdict(self, chunks: Sequence[tuple[int, bytes]]) -> tuple[Outcome, str | None]:
        if self.outcome is not None:
            return self.outcome, self.error
        if self.terminal_ns is not None:
            if self.content_frames:
                return Outcome.SUCCESS, None
            return Outcome.EMPTY, "the stream ended without a token"
        if self.frames:
            return Outcome.TRUNCATED, f"no {_DONE.decode()} after {self.frames} frames"
        head = b"".join(chunk for _, chunk in chunks[:4]).strip()[:200]
        if not head:
            return Outcome.EMPTY, "the answer has no body"
        if head.startswith((b"data:", b":", b"event:")):
            return Outcome.TRUNCATED, "the stream broke off within its first frame"
        return Outcome.MALFORMED, f"the answer is no event stream: {head!r}"


def _has_text(choices: Any) -> bool:
    """Say whether a chunk carries text; a chunk without choices carries usage only."""
    if choices is None:
        return False
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise _ChunkError("choices is no list of JSON objects")
    for choice in choices:
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise _ChunkError("delta is no JSON object")
        for key in _TEXT_KEYS:
            text = delta.get(key)
            if text is not None and not isinstance(text, str):
                raise _ChunkError(f"{key} is no text")
            if text:
                return True
    return False


def _count(value: Any, known: int | None) -> int | None:
    if value is None:
        return known
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _ChunkError("a count of tokens is no whole number")
    return value


def _error_text(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else orjson.dumps(error).decode()


PROVIDER = OpenAIChat("openai")
