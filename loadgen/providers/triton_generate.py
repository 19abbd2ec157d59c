# SPDX-License-Identifier: Apache-2.0
"""Triton's generate extension: ``generate`` and ``generate_stream``.

The extension has no terminal frame. The vLLM backend can be asked to say why it finished, and then
the frame that does is the last one; where no frame says anything of it (TensorRT-LLM), a stream
ends well when its HTTP answer does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from loadgen.provider import Ask, Chunks, Probe, Reading
from loadgen.reading import FrameError, Tally, count_of, read_stream, read_whole, text_of
from loadgen.workload import Api

_GOES_ON = (None, "", "None")


@dataclass(frozen=True, slots=True)
class TritonGenerate:
    """The two endpoints of the extension."""

    name: str = "triton-generate"

    def check(self, api: Api) -> None:
        """Take everything: both endpoints of the profile are the same here."""

    def counts_prompts(self, _api: Api) -> bool:
        """Say yes for the vLLM backend, which can."""
        return True

    def path(self, model: str, api: Api) -> str:
        """Return the path of the endpoint."""
        verb = "generate_stream" if api.stream else "generate"
        return f"/v2/models/{quote(model, safe='')}/{verb}"

    def probe(self, model: str) -> Probe:
        """Look whether the model is ready."""
        return Probe(f"/v2/models/{quote(model, safe='')}/ready")

    def body(self, ask: Ask) -> bytes:
        """Write the body for both backends: one reads inputs, the other parameters.

        What a model has no input for is taken for a parameter, and passed over.
        """
        asked = {
            "max_tokens": ask.output_tokens,
            "temperature": ask.api.temperature,
            "stream": ask.api.stream,
        }
        return orjson.dumps(
            {
                "text_input": ask.prompt.text,
                **asked,
                "bad_words": "",
                "stop_words": "",
                "exclude_input_in_output": True,
                "return_finish_reason": True,
                "return_num_input_tokens": True,
                "return_num_output_tokens": True,
                "parameters": asked,
            }
        )

    def read(self, chunks: Chunks, api: Api) -> Reading:
        """Read a stream of texts, or one."""
        tally = Tally(terminal="finish_reason", implied_end=api.stream)
        return (read_stream if api.stream else read_whole)(chunks, _take, tally)


def _take(tally: Tally, arrival_ns: int, frame: dict[str, Any]) -> None:
    if "text_output" not in frame:
        raise FrameError("frame has no text_output")
    if text_of(frame, "text_output"):
        tally.content(arrival_ns)
    tally.prompt_tokens = count_of(frame.get("num_input_tokens"), tally.prompt_tokens)
    # Those of this frame alone, as the vLLM backend documents it.
    new = count_of(frame.get("num_output_tokens"), None)
    if new is not None:
        tally.details_tokens = (tally.details_tokens or 0) + new
    logprobs = frame.get("output_log_probs")
    if isinstance(logprobs, list):
        tally.logprobs = max(tally.logprobs, len(logprobs))
    if "finish_reason" in frame:
        tally.implied_end = False
        if frame["finish_reason"] not in _GOES_ON:
            tally.terminal_ns = arrival_ns


PROVIDER = TritonGenerate()
