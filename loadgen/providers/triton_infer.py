# SPDX-License-Identifier: Apache-2.0
"""Triton's ``infer``: the KServe V2 protocol, whole answers in tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from loadgen.errors import ProfileError
from loadgen.provider import Ask, Chunks, Probe, Reading
from loadgen.reading import FrameError, Tally, count_of, read_whole
from loadgen.workload import Api


@dataclass(frozen=True, slots=True)
class TritonInfer:
    """``POST /v2/models/MODEL/infer`` with TensorRT-LLM's tensors."""

    name: str = "triton-infer"

    def check(self, api: Api) -> None:
        """Refuse streams.

        Raises
        ------
        ProfileError
            If one is asked for.
        """
        if api.stream:
            raise ProfileError("provider triton-infer has no streams: ask without (--no-stream)")

    def counts_prompts(self, _api: Api) -> bool:
        """Say no: no tensor has the prompt's length."""
        return False

    def path(self, model: str, _api: Api) -> str:
        """Return the path of the endpoint."""
        return f"/v2/models/{quote(model, safe='')}/infer"

    def probe(self, model: str) -> Probe:
        """Look whether the model is ready."""
        return Probe(f"/v2/models/{quote(model, safe='')}/ready")

    def body(self, ask: Ask) -> bytes:
        """Write the tensors, each of one element."""
        inputs = (
            ("text_input", "BYTES", ask.prompt.text),
            ("max_tokens", "INT32", ask.output_tokens),
            ("bad_words", "BYTES", ""),
            ("stop_words", "BYTES", ""),
            ("temperature", "FP32", ask.api.temperature),
            ("stream", "BOOL", False),
        )
        return orjson.dumps({"inputs": [_tensor(*each) for each in inputs]})

    def read(self, chunks: Chunks, _api: Api) -> Reading:
        """Read the tensors of a whole answer."""
        return read_whole(chunks, _take, Tally(terminal="text_output"))


def _tensor(name: str, datatype: str, value: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]}


def _take(tally: Tally, arrival_ns: int, frame: dict[str, Any]) -> None:
    outputs = frame.get("outputs")
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise FrameError("outputs is no list of tensors")
    tensors = {str(each.get("name")): each.get("data") for each in outputs}
    texts = tensors.get("text_output")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FrameError("there is no text_output of texts")
    if any(texts):
        tally.content(arrival_ns)
    logprobs, counted = tensors.get("output_log_probs"), tensors.get("num_output_tokens")
    if isinstance(logprobs, list):
        tally.logprobs = len(logprobs)
    if isinstance(counted, list) and counted:
        tally.details_tokens = count_of(counted[0], None)


PROVIDER = TritonInfer()
