# SPDX-License-Identifier: Apache-2.0
"""OpenAI's two endpoints, as vLLM serves them, or Together and Fireworks with their own usage."""

from __future__ import annotations

import time
from typing import Any

from loadgen.mock.face import (
    DEFAULT_OUTPUT_TOKENS,
    Asked,
    BadRequestError,
    check_length,
    count_tokens,
    frame,
    word,
    words,
)
from loadgen.mock.settings import MockSettings

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

_USAGE_UNASKED = ("together", "fireworks")
"""Their usage comes with the last chunk, asked for or not."""


class OpenAIFace:
    """``chat/completions`` and ``completions``."""

    routes = (CHAT, COMPLETIONS)

    def read(self, settings: MockSettings, name: str, path: str, body: dict[str, Any]) -> Asked:
        """Read a chat or a completion."""
        if body.get("model") != settings.model:
            raise BadRequestError(f"the model must be {settings.model!r}")
        key = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        tokens = check_length(settings, body.get(key, DEFAULT_OUTPUT_TOKENS), key)
        texts: list[Any] = _contents(body.get("messages")) if path == CHAT else [body.get("prompt")]
        options = body.get("stream_options") or {}
        logprobs = body.get("logprobs")
        prefix = "chatcmpl" if path == CHAT else "cmpl"
        return Asked(
            name=f"{prefix}-{name}",
            path=path,
            prompt_tokens=count_tokens(settings, *texts),
            prompt=" ".join(texts),
            output_tokens=tokens,
            stream=body.get("stream") is True,
            options={
                "usage": isinstance(options, dict) and options.get("include_usage") is True,
                "logprobs": logprobs is not None and logprobs is not False,
            },
        )

    def opening(self, settings: MockSettings, asked: Asked) -> bytes:
        """Return the chunk with the role, which has no token; a completion has none."""
        if asked.path != CHAT:
            return b""
        return frame(_chunk(settings, asked, {"delta": {"role": "assistant", "content": ""}}))

    def token(self, settings: MockSettings, asked: Asked, number: int) -> bytes:
        """Return a chunk."""
        text, last = word(number), number == asked.output_tokens
        choice: dict[str, Any] = {"delta": {"content": text}}
        if asked.path != CHAT:
            choice = {"text": text}
        if asked.options["logprobs"]:
            choice["logprobs"] = _logprobs(asked, [text])
        chunk = _chunk(settings, asked, choice, "length" if last else None)
        if last and settings.provider in _USAGE_UNASKED:
            chunk["usage"] = _usage(asked)
        return frame(chunk)

    def ending(self, settings: MockSettings, asked: Asked) -> bytes:
        """Return the usage, where it was asked for, and the last frame."""
        done = b"data: [DONE]\n\n"
        if not asked.options["usage"] or settings.provider in _USAGE_UNASKED:
            return done
        usage = _envelope(settings, asked, "chunk") | {"choices": [], "usage": _usage(asked)}
        return frame(usage) + done

    def whole(self, settings: MockSettings, asked: Asked) -> dict[str, Any]:
        """Return a completion."""
        text = words(asked.output_tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
        if asked.path == CHAT:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        if asked.options["logprobs"]:
            choice["logprobs"] = _logprobs(asked, text.split())
        return _envelope(settings, asked, "") | {"choices": [choice], "usage": _usage(asked)}

    def error(self, message: str, status: int) -> dict[str, Any]:
        """Return OpenAI's error object."""
        return {"error": {"message": message, "type": "mock", "code": status}}


def _contents(messages: Any) -> list[Any]:
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list with at least one message")
    if not all(isinstance(message, dict) for message in messages):
        raise BadRequestError("each message must be a JSON object")
    return [_text(message.get("content")) for message in messages]


def _text(content: Any) -> Any:
    """Return a message's text, which may come in parts."""
    if not isinstance(content, list):
        return content
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise BadRequestError("the parts of a message must be of type text")
    return " ".join(str(part.get("text", "")) for part in content)


def _envelope(settings: MockSettings, asked: Asked, part: str) -> dict[str, Any]:
    kind = "chat.completion" if asked.path == CHAT else "text_completion"
    return {
        "id": asked.name,
        "object": f"{kind}.{part}" if part and asked.path == CHAT else kind,
        "created": int(time.time()),
        "model": settings.model,
    }


def _chunk(
    settings: MockSettings, asked: Asked, choice: dict[str, Any], finish: str | None = None
) -> dict[str, Any]:
    return _envelope(settings, asked, "chunk") | {
        "choices": [{"index": 0, **choice, "finish_reason": finish}]
    }


def _logprobs(asked: Asked, tokens: list[str]) -> dict[str, Any]:
    if asked.path == CHAT:
        return {"content": [{"token": token, "logprob": -0.5} for token in tokens]}
    return {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}


def _usage(asked: Asked) -> dict[str, int]:
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": asked.output_tokens,
        "total_tokens": asked.prompt_tokens + asked.output_tokens,
    }


FACE = OpenAIFace()
