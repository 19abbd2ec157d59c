# SPDX-License-Identifier: Apache-2.0
"""OpenAI's two endpoints for text, which many services speak with small differences.

``[DONE]`` is the terminal frame of a stream. A whole answer is one when its choice says why it
finished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from loadgen.outcomes import Outcome
from loadgen.provider import Ask, Chunks, Probe, Reading
from loadgen.reading import (
    FrameError,
    Tally,
    count_of,
    error_text,
    object_of,
    read_stream,
    read_whole,
    text_of,
)
from loadgen.workload import Api

_TEXT_KEYS = ("content", "reasoning_content", "reasoning", "text")
_PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


def _nothing(_ask: Ask) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class OpenAIFamily:
    """A service with OpenAI's ``chat/completions`` and ``completions``.

    Parameters
    ----------
    name
        Name of the dialect.
    own_keys
        Further keys of a request's body.
    asks_usage
        Whether ``stream_options`` has to ask for the counts of a stream; the others send them
        anyway, and some refuse the key.
    """

    name: str
    own_keys: Callable[[Ask], dict[str, Any]] = _nothing
    asks_usage: bool = True

    def check(self, api: Api) -> None:
        """Take everything."""

    def counts_prompts(self, _api: Api) -> bool:
        """Usage has the prompt's tokens."""
        return True

    def path(self, _model: str, api: Api) -> str:
        """Return the path of the endpoint."""
        return _PATHS[api.endpoint]

    def probe(self, _model: str) -> Probe:
        """Look into the list of models."""
        return Probe("/v1/models", model_names)

    def body(self, ask: Ask) -> bytes:
        """Write the body; it asks for the usage frame, so that tokens needn't be guessed."""
        api = ask.api
        body: dict[str, Any] = {"model": ask.model}
        if api.endpoint == "chat":
            body["messages"] = [message._asdict() for message in ask.prompt.messages]
        else:
            body["prompt"] = ask.prompt.text
        body |= {
            "max_tokens": ask.output_tokens,
            "temperature": api.temperature,
            "stream": api.stream,
        }
        if api.stream and self.asks_usage:
            body["stream_options"] = {"include_usage": True}
        if api.logprobs is not None:
            chat = {"logprobs": True, "top_logprobs": api.logprobs}
            body |= chat if api.endpoint == "chat" else {"logprobs": api.logprobs}
        return orjson.dumps(body | self.own_keys(ask))

    def read(self, chunks: Chunks, api: Api) -> Reading:
        """Read a stream of chunks, or a whole completion."""
        if api.stream:
            return read_stream(chunks, _take_chunk, Tally(terminal="[DONE]"))
        return read_whole(chunks, _take_completion, Tally(terminal="finish_reason"))


def model_names(body: bytes) -> list[str]:
    """Read the names out of a list of models: OpenAI's object, or Together's bare list."""
    return [str(model["id"]) for model in _models(body)]


def model_owners(body: bytes) -> list[str]:
    """Read who owns the models out of their list."""
    return [str(model.get("owned_by")) for model in _models(body)]


def _models(body: bytes) -> list[dict[str, Any]]:
    value = orjson.loads(body)
    models: list[dict[str, Any]] = value if isinstance(value, list) else value["data"]
    return models


def _take_chunk(tally: Tally, arrival_ns: int, frame: dict[str, Any]) -> None:
    if frame.get("object") == "error":
        tally.fail(Outcome.INBAND_ERROR, error_text(frame))
        return
    _take_usage(tally, frame)
    texts = False
    for choice in _choices(frame):
        texts = _has_text(object_of(choice, "delta") or choice) or texts
        if choice.get("logprobs") is not None:
            tally.logprobs += _logprobs(choice)
    if texts:
        tally.content(arrival_ns)


def _take_completion(tally: Tally, arrival_ns: int, frame: dict[str, Any]) -> None:
    if frame.get("object") == "error":
        tally.fail(Outcome.INBAND_ERROR, error_text(frame))
        return
    _take_usage(tally, frame)
    choices = _choices(frame)
    if not choices:
        raise FrameError("the completion has no choices")
    for choice in choices:
        if choice.get("finish_reason") is None:
            tally.fail(Outcome.TRUNCATED, "the completion doesn't say why it finished")
        tally.logprobs += _logprobs(choice)
    if any(_has_text(object_of(choice, "message") or choice) for choice in choices):
        tally.content(arrival_ns)


def _take_usage(tally: Tally, frame: dict[str, Any]) -> None:
    """Keep the newest counts: usage is cumulative where it comes with each chunk."""
    if frame.get("usage") is not None:
        usage = object_of(frame, "usage")
        tally.prompt_tokens = count_of(usage.get("prompt_tokens"), tally.prompt_tokens)
        tally.usage_tokens = count_of(usage.get("completion_tokens"), tally.usage_tokens)


def _choices(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a chunk's choices; one without any carries usage only."""
    choices = frame.get("choices")
    if choices is None:
        return []
    if not isinstance(choices, list) or {type(choice) for choice in choices} - {dict}:
        raise FrameError("choices is no list of JSON objects")
    return choices


def _has_text(message: dict[str, Any]) -> bool:
    """Say whether a delta, a message or a completion's choice carries text."""
    found = bool(message.get("tool_calls"))
    for key in _TEXT_KEYS:
        # A broken text behind the first good one must not pass.
        found = bool(text_of(message, key)) or found
    return found


def _logprobs(choice: dict[str, Any]) -> int:
    """Count the tokens that log probabilities are given for, in either endpoint's form."""
    logprobs = object_of(choice, "logprobs")
    listed = logprobs.get("content") or logprobs.get("tokens") or []
    if not isinstance(listed, list):
        raise FrameError("logprobs has no list of tokens")
    return len(listed)
