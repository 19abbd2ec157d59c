# SPDX-License-Identifier: Apache-2.0
"""What all providers' answers have in common: frames or one JSON object, counts, a verdict.

A provider gives a function that takes one frame into a :class:`Tally`; what is no frame raises
:class:`FrameError` there, and nothing raises out of here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from loadgen.outcomes import Outcome
from loadgen.provider import Chunks, Reading
from loadgen.sse import DONE, events


class FrameError(Exception):
    """A frame is JSON, but not what this provider sends; the text says why."""


@dataclass(slots=True)
class Tally:
    """What the frames so far add up to.

    Parameters
    ----------
    terminal
        What the terminal frame is called in an error's text.
    implied_end
        Whether a good end of the transport is as good as a terminal frame.
    """

    terminal: str
    implied_end: bool = False
    outcome: Outcome | None = None
    error: str | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    terminal_ns: int | None = None
    frames: int = 0
    content_frames: int = 0
    logprobs: int = 0
    prompt_tokens: int | None = None
    usage_tokens: int | None = None
    details_tokens: int | None = None

    def fail(self, outcome: Outcome, error: str) -> None:
        """Keep the first thing that went wrong."""
        if self.outcome is None:
            self.outcome, self.error = outcome, error

    def content(self, arrival_ns: int) -> None:
        """Count a frame with text."""
        self.content_frames += 1
        self.last_ns = arrival_ns
        if self.first_ns is None:
            self.first_ns = arrival_ns

    def reading(self, chunks: Chunks) -> Reading:
        """Sum up."""
        outcome, error = self._verdict(chunks)
        chunks_counted = (self.content_frames, "chunks") if self.content_frames else None
        tokens, source = self.counted or chunks_counted or (None, None)
        return Reading(
            outcome=outcome,
            error=error,
            first_token_ns=self.first_ns,
            last_token_ns=self.last_ns,
            terminal_ns=self.terminal_ns,
            prompt_tokens=self.prompt_tokens,
            output_tokens=tokens,
            token_source=source,
            implied_end=self.implied_end,
        )

    @property
    def counted(self) -> tuple[int, str] | None:
        """The best of the service's own counts of output tokens, and which it is."""
        counts = (
            (self.usage_tokens, "usage"),
            (self.logprobs or None, "logprobs"),
            (self.details_tokens, "details"),
        )
        return next(((count, source) for count, source in counts if count is not None), None)

    def _verdict(self, chunks: Chunks) -> tuple[Outcome, str | None]:
        if self.outcome is not None:
            return self.outcome, self.error
        if self.terminal_ns is not None:
            if self.content_frames:
                return Outcome.SUCCESS, None
            return Outcome.EMPTY, "the answer ended without a token"
        if self.frames:
            return Outcome.TRUNCATED, f"no {self.terminal} after {self.frames} frames"
        head = b"".join(chunk for _, chunk in chunks[:4]).strip()[:200]
        if not head:
            return Outcome.EMPTY, "the answer has no body"
        if head.startswith((b"data:", b":", b"event:")):
            return Outcome.TRUNCATED, "the stream broke off within its first frame"
        return Outcome.MALFORMED, f"the answer is no event stream: {head!r}"


Take = Callable[[Tally, int, dict[str, Any]], None]
"""Takes a frame (its arrival time, ns, and its JSON object) into the tally."""


def read_stream(chunks: Chunks, take: Take, tally: Tally) -> Reading:
    """Read the frames of an event stream.

    An error frame decides the outcome whatever follows it; so does a frame that isn't one. Frames
    before it still count, so that a partial answer keeps its tokens and times.
    """
    for arrival_ns, data in events(chunks):
        if data == DONE:
            tally.terminal_ns = tally.terminal_ns or arrival_ns
            break
        if not _take(take, tally, arrival_ns, data):
            break
    if tally.implied_end and tally.terminal_ns is None and tally.frames:
        tally.terminal_ns = chunks[-1][0]
    else:
        tally.implied_end = False
    return tally.reading(chunks)


def read_whole(chunks: Chunks, take: Take, tally: Tally) -> Reading:
    """Read a body that is one JSON object, whose only time is that of its end."""
    body = b"".join(chunk for _, chunk in chunks)
    if not body.strip():
        tally.fail(Outcome.EMPTY, "the answer has no body")
        return tally.reading(chunks)
    end_ns = chunks[-1][0]
    if body.lstrip()[:1] == b"{" and not body.rstrip().endswith(b"}"):
        tally.fail(Outcome.TRUNCATED, f"the answer breaks off after {len(body)} bytes")
        return tally.reading(chunks)
    if _take(take, tally, end_ns, body):
        tally.terminal_ns = end_ns
    reading = tally.reading(chunks)
    # One piece of text says nothing of its tokens.
    unknown = tally.counted is None
    return replace(reading, output_tokens=None, token_source=None) if unknown else reading


def _take(take: Take, tally: Tally, arrival_ns: int, data: bytes) -> bool:
    try:
        frame = orjson.loads(data)
        if not isinstance(frame, dict):
            raise FrameError("frame is no JSON object")
        tally.frames += 1
        if frame.get("error") is not None:
            tally.fail(Outcome.INBAND_ERROR, error_text(frame["error"]))
        else:
            take(tally, arrival_ns, frame)
    except (orjson.JSONDecodeError, FrameError) as error:
        tally.fail(Outcome.MALFORMED, f"{error}: {data[:200]!r}")
        return False
    return True


def count_of(value: Any, known: int | None) -> int | None:
    """Read a count of tokens; ``None`` leaves the known one.

    Raises
    ------
    FrameError
        If it is none.
    """
    if value is None:
        return known
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FrameError("a count of tokens is no whole number")
    return value


def text_of(frame: dict[str, Any], key: str) -> str:
    """Return the text under a key, empty where there is none.

    Raises
    ------
    FrameError
        If it is something else.
    """
    text = frame.get(key)
    if text is not None and not isinstance(text, str):
        raise FrameError(f"{key} is no text")
    return text or ""


def object_of(frame: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the JSON object under a key, empty where there is none.

    Raises
    ------
    FrameError
        If it is something else.
    """
    value = frame.get(key)
    if value is not None and not isinstance(value, dict):
        raise FrameError(f"{key} is no JSON object")
    return value or {}


def error_text(error: Any) -> str:
    """Return what an error says."""
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else orjson.dumps(error).decode()
