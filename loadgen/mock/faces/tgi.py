# SPDX-License-Identifier: Apache-2.0
"""text-generation-inference's own two endpoints."""

from __future__ import annotations

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

_STREAM = "/generate_stream"


class TgiFace:
    """``/generate`` and ``/generate_stream``."""

    routes = ("/generate", _STREAM)

    def read(self, settings: MockSettings, name: str, path: str, body: dict[str, Any]) -> Asked:
        """Read a request."""
        parameters = body.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise BadRequestError("parameters must be a JSON object")
        if parameters.get("temperature", 1) == 0:
            raise BadRequestError("`temperature` must be strictly positive")
        asked = parameters.get("max_new_tokens", DEFAULT_OUTPUT_TOKENS)
        return Asked(
            name=name,
            path=path,
            prompt_tokens=count_tokens(settings, body.get("inputs")),
            prompt=body["inputs"],
            output_tokens=check_length(settings, asked, "max_new_tokens"),
            stream=path == _STREAM,
            options={"details": parameters.get("details") is True},
        )

    def opening(self, _settings: MockSettings, _asked: Asked) -> bytes:
        """Return nothing: a stream starts with its first token."""
        return b""

    def token(self, _settings: MockSettings, asked: Asked, number: int) -> bytes:
        """Return a token; the last one has the whole text and the details."""
        last = number == asked.output_tokens
        value = {
            "index": number,
            "token": {"id": number, "text": word(number), "logprob": -0.5, "special": False},
            "generated_text": words(number) if last else None,
            "details": _details(asked) | {"input_length": asked.prompt_tokens} if last else None,
        }
        return frame(value)

    def ending(self, _settings: MockSettings, _asked: Asked) -> bytes:
        """Return nothing: the last token was the end."""
        return b""

    def whole(self, _settings: MockSettings, asked: Asked) -> dict[str, Any]:
        """Return the text, with details where they were asked for."""
        answer: dict[str, Any] = {"generated_text": words(asked.output_tokens)}
        return answer | ({"details": _details(asked)} if asked.options["details"] else {})

    def error(self, message: str, _status: int) -> dict[str, Any]:
        """Return an error."""
        return {"error": message, "error_type": "generation"}


def _details(asked: Asked) -> dict[str, Any]:
    return {"finish_reason": "length", "generated_tokens": asked.output_tokens, "seed": None}


FACE = TgiFace()
