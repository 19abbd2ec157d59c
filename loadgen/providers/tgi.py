# SPDX-License-Identifier: Apache-2.0
"""Hugging Face's text-generation-inference: ``/generate`` and ``/generate_stream``.

A stream ends with the frame that has the whole ``generated_text``; a whole answer is one when it
has it. ``details`` count the tokens; the prompt's only in a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from loadgen.provider import Ask, Chunks, Probe, Reading
from loadgen.reading import FrameError, Tally, count_of, object_of, read_stream, read_whole, text_of
from loadgen.workload import Api


@dataclass(frozen=True, slots=True)
class Tgi:
    """The two endpoints of text-generation-inference."""

    name: str = "tgi"

    def check(self, api: Api) -> None:
        """Take everything: both endpoints of the profile are the same here."""

    def counts_prompts(self, api: Api) -> bool:
        """Say yes for a stream, whose last frame has the prompt's length."""
        return api.stream

    def path(self, _model: str, api: Api) -> str:
        """Return the path of the endpoint."""
        return "/generate_stream" if api.stream else "/generate"

    def probe(self, _model: str) -> Probe:
        """Look whether it serves: it has one model, whatever it is called."""
        return Probe("/health")

    def body(self, ask: Ask) -> bytes:
        """Write the body; a temperature of 0, which is refused, is greedy decoding."""
        parameters: dict[str, Any] = {"max_new_tokens": ask.output_tokens, "details": True}
        if ask.api.temperature > 0:
            parameters |= {"do_sample": True, "temperature": ask.api.temperature}
        if ask.api.logprobs:
            parameters["top_n_tokens"] = ask.api.logprobs
        return orjson.dumps({"inputs": ask.prompt.text, "parameters": parameters})

    def read(self, chunks: Chunks, api: Api) -> Reading:
        """Read a stream of tokens, or a whole answer."""
        if api.stream:
            return read_stream(chunks, _take_token, Tally(terminal="generated_text"))
        return read_whole(chunks, _take_answer, Tally(terminal="generated_text"))


def _take_token(tally: Tally, arrival_ns: int, frame: dict[str, Any]) -> None:
    if frame.get("token") is None and frame.get("generated_text") is None:
        raise FrameError("frame has neither a token nor the generated text")
    if text_of(object_of(frame, "token"), "text"):
        tally.content(arrival_ns)
    if frame.get("generated_text") is not None:
        text_of(frame, "generated_text")
        details = object_of(frame, "details")
        tally.details_tokens = count_of(details.get("generated_tokens"), None)
        tally.prompt_tokens = count_of(details.get("input_length"), None)
        tally.terminal_ns = arrival_ns


def _take_answer(tally: Tally, arrival_ns: int, frame: dict[str, Any]) -> None:
    if frame.get("generated_text") is None:
        raise FrameError("the answer has no generated text")
    if text_of(frame, "generated_text"):
        tally.content(arrival_ns)
    details = object_of(frame, "details")
    tally.details_tokens = count_of(details.get("generated_tokens"), None)


PROVIDER = Tgi()
