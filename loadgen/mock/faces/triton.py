# SPDX-License-Identifier: Apache-2.0
"""Triton: the generate extension as its vLLM backend answers, and KServe's ``infer``."""

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


class TritonFace:
    """``generate``, ``generate_stream`` and ``infer`` of a model."""

    routes = (
        "/v2/models/{model}/generate",
        "/v2/models/{model}/generate_stream",
        "/v2/models/{model}/infer",
    )

    def read(self, settings: MockSettings, name: str, path: str, body: dict[str, Any]) -> Asked:
        """Read a request of either protocol."""
        if path.split("/")[3] != settings.model:
            raise BadRequestError(f"Request for unknown model: {path.split('/')[3]!r}")
        values = _tensors(body) if path.endswith("/infer") else body
        length = values.get("max_tokens", DEFAULT_OUTPUT_TOKENS)
        return Asked(
            name=name,
            path=path,
            prompt_tokens=count_tokens(settings, values.get("text_input")),
            prompt=values["text_input"],
            output_tokens=check_length(settings, length, "max_tokens"),
            stream=path.endswith("/generate_stream"),
            options={key: values.get(f"return_{key}") is True for key in _RETURNED},
        )

    def opening(self, _settings: MockSettings, _asked: Asked) -> bytes:
        """Return nothing: a stream starts with its first text."""
        return b""

    def token(self, settings: MockSettings, asked: Asked, number: int) -> bytes:
        """Return a text; what was asked for beside it comes with every one."""
        last = number == asked.output_tokens
        return frame(
            _envelope(settings)
            | {"text_output": word(number)}
            | _returned(asked, 1, "length" if last else "None")
        )

    def ending(self, _settings: MockSettings, _asked: Asked) -> bytes:
        """Return nothing: there is no last frame."""
        return b""

    def whole(self, settings: MockSettings, asked: Asked) -> dict[str, Any]:
        """Return one text, or the tensor that holds it."""
        text = words(asked.output_tokens)
        if asked.path.endswith("/infer"):
            tensor = {"name": "text_output", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
            return _envelope(settings) | {"outputs": [tensor]}
        extra = _returned(asked, asked.output_tokens, "length")
        return _envelope(settings) | {"text_output": text} | extra

    def error(self, message: str, _status: int) -> dict[str, Any]:
        """Return an error."""
        return {"error": message}


_RETURNED = ("finish_reason", "num_input_tokens", "num_output_tokens")


def _returned(asked: Asked, new_tokens: int, finish_reason: str) -> dict[str, Any]:
    values = (finish_reason, asked.prompt_tokens, new_tokens)
    return {key: value for key, value in zip(_RETURNED, values, strict=True) if asked.options[key]}


def _envelope(settings: MockSettings) -> dict[str, Any]:
    return {"model_name": settings.model, "model_version": "1"}


def _tensors(body: dict[str, Any]) -> dict[str, Any]:
    """Return the one element of each tensor by the tensor's name."""
    found = {}
    inputs = body.get("inputs")
    if not isinstance(inputs, list):
        raise BadRequestError("inputs must be a list of tensors")
    for tensor in inputs:
        data = tensor.get("data") if isinstance(tensor, dict) else None
        if not isinstance(data, list) or len(data) != 1 or tensor.get("shape") != [1, 1]:
            raise BadRequestError("each tensor must be of shape [1, 1]")
        found[tensor.get("name")] = data[0]
    return found


FACE = TritonFace()
