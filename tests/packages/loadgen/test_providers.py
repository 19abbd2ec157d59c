# SPDX-License-Identifier: Apache-2.0
"""Every provider against the mock that plays it: whole runs, and each fault in its class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import ProfileError, Timeouts
from loadgen.mock.settings import OPENAI_PROVIDERS, FaultRule
from loadgen.outcomes import Outcome
from loadgen.prompts.spec import Message, Prompt
from loadgen.provider import Ask, Reading, providers
from loadgen.workload import Api

Load = Callable[..., Any]

STREAM, WHOLE = Api(), Api(stream=False)
COMPLETIONS = Api(endpoint="completions")
PROMPT = Prompt((Message("user", "what is new"),))
CHAT = Prompt((Message("user", "hi"), Message("assistant", "hello"), Message("user", "and now")))

# Provider, way to ask, where its count of tokens is from, whether it counts the prompt's.
WAYS = [
    *((name, STREAM, "usage", True) for name in OPENAI_PROVIDERS),
    *((name, WHOLE, "usage", True) for name in OPENAI_PROVIDERS),
    ("vllm", COMPLETIONS, "usage", True),
    ("openai", Api(endpoint="completions", stream=False), "usage", True),
    ("tgi", STREAM, "details", True),
    ("tgi", WHOLE, "details", False),
    ("triton-generate", STREAM, "details", True),
    ("triton-generate", WHOLE, "details", True),
    ("triton-infer", WHOLE, None, False),
]


def mock_of(provider: str) -> dict[str, Any]:
    return {"provider": provider} if provider in OPENAI_PROVIDERS else {}


@pytest.mark.parametrize(("provider", "api", "source", "counts_prompt"), WAYS)
def test_a_run_with_each_provider(
    load: Load, provider: str, api: Api, source: str | None, counts_prompt: bool
) -> None:
    result, records = load(mock_of(provider), provider=provider, api=api, duration_s=0.1)
    assert [(record["outcome"], record["error"]) for record in records] == [("success", None)] * 5
    for record in records:
        assert record["prompt_tokens"] == (8 if counts_prompt else None)
        assert record["output_tokens"] == (6 if source else None)
        assert record["token_source"] == source
        assert (record["tpot_ms"] is not None) == api.stream
        if api.stream:
            assert record["first_token_ns"] < record["last_token_ns"] <= record["end_ns"]
        else:
            assert record["first_token_ns"] == record["last_token_ns"] == record["end_ns"]
        assert counts_prompt == providers()[provider].counts_prompts(api)
    assert result.summary["slo"]["attainment"] == 1


STREAM_FAULTS = {
    "503": "http_5xx",
    "429": "http_429",
    "404": "http_4xx",
    "reset": "reset_before_first_byte",
    "reset-midstream": "reset_midstream",
    "truncate": "truncated",
    "error-frame": "inband_error",
    "malformed": "malformed",
    "empty": "empty",
    "stall": "stall_timeout",
    "slow": "success",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("provider", "api"),
    [
        ("openai", COMPLETIONS),
        ("together", STREAM),
        ("tgi", STREAM),
        ("triton-generate", STREAM),
        ("vllm", WHOLE),
        ("tgi", WHOLE),
        ("triton-generate", WHOLE),
        ("triton-infer", WHOLE),
    ],
)
def test_each_fault_of_each_provider_is_in_its_class(
    load: Load, tmp_path: Path, provider: str, api: Api
) -> None:
    log = tmp_path / "arrivals.jsonl"
    rules = tuple(FaultRule.parse(f"{fault}@{at}") for at, fault in enumerate(STREAM_FAULTS))
    _, records = load(
        mock_of(provider) | {"faults": rules, "arrivals": log},
        provider=provider,
        api=api,
        duration_s=0.3,
        timeouts=Timeouts(connect_s=5, first_byte_s=5, stall_s=2, total_s=15),
    )
    arrivals = [json.loads(line) for line in log.open()]
    played = {arrival["request_id"]: arrival["fault"] for arrival in arrivals}
    assert set(played.values()) == {*STREAM_FAULTS, None}
    for record in records:
        fault = played[record["request_id"]]
        assert record["outcome"] == STREAM_FAULTS.get(fault, "success"), (fault, record["error"])


def read(provider: str, api: Api, *pieces: str) -> Reading:
    """Read pieces that arrive at 1, 2, 3, ... ns."""
    chunks = [(at, piece.encode()) for at, piece in enumerate(pieces, start=1)]
    return providers()[provider].read(chunks, api)


def frame(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


def body(provider: str, api: Api, prompt: Prompt = PROMPT) -> Any:
    ask = Ask(model="m", prompt=prompt, output_tokens=9, api=api)
    return json.loads(providers()[provider].body(ask))


def test_a_triton_stream_without_finish_reason_ends_with_its_http_answer() -> None:
    text = frame({"text_output": "a"})
    reading = read("triton-generate", STREAM, text, text)
    assert (reading.outcome, reading.implied_end, reading.token_source) == (
        Outcome.SUCCESS,
        True,
        "chunks",
    )
    assert reading.terminal_ns == 2


def test_a_triton_stream_that_says_why_it_finishes_must_say_so() -> None:
    goes_on = frame({"text_output": "a", "finish_reason": "None", "num_output_tokens": 2})
    ends = frame({"text_output": "b", "finish_reason": "stop", "num_output_tokens": 3})
    assert read("triton-generate", STREAM, goes_on).outcome == Outcome.TRUNCATED
    reading = read("triton-generate", STREAM, goes_on, ends)
    assert (reading.outcome, reading.output_tokens) == (Outcome.SUCCESS, 5)
    assert reading.implied_end is False


def test_tgi_counts_by_its_details_and_else_by_its_frames() -> None:
    token = frame({"index": 1, "token": {"text": "a"}, "generated_text": None, "details": None})
    end = {"index": 2, "token": {"text": "b"}, "generated_text": "ab", "details": None}
    assert read("tgi", STREAM, token, frame(end)).output_tokens == 2
    end["details"] = {"generated_tokens": 7, "input_length": 3}
    reading = read("tgi", STREAM, token, frame(end))
    assert (reading.output_tokens, reading.token_source, reading.prompt_tokens) == (7, "details", 3)
    assert read("tgi", STREAM, token).error == "no generated_text after 1 frames"


def test_log_probabilities_count_tokens_where_there_is_no_usage() -> None:
    chunk = {"choices": [{"delta": {"content": "two"}, "logprobs": {"content": [{}, {}]}}]}
    reading = read("openai", STREAM, frame(chunk), frame(chunk), "data: [DONE]\n\n")
    assert (reading.output_tokens, reading.token_source) == (4, "logprobs")
    choice = {"text": "x", "logprobs": {"tokens": ["a", "b"]}, "finish_reason": "stop"}
    reading = read("openai", COMPLETIONS, frame({"choices": [choice]}), "data: [DONE]\n\n")
    assert (reading.output_tokens, reading.token_source) == (2, "logprobs")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ('{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}', Outcome.SUCCESS),
        ('{"choices": [{"message": {"content": "a"}, "fin', Outcome.TRUNCATED),
        ('{"choices": [{"message": {"content": "a"}}]}', Outcome.TRUNCATED),
        ('{"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}', Outcome.EMPTY),
        ('{"choices": []}', Outcome.MALFORMED),
        ('{"error": {"message": "no"}}', Outcome.INBAND_ERROR),
        ('{"object": "error", "message": "no"}', Outcome.INBAND_ERROR),
        ("<html>", Outcome.MALFORMED),
        ("  ", Outcome.EMPTY),
    ],
)
def test_the_verdict_on_a_whole_answer(answer: str, outcome: Outcome) -> None:
    assert read("openai", WHOLE, answer[:9], answer[9:]).outcome == outcome


@given(st.sampled_from([way[:2] for way in WAYS]), st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from([
            "choices", "delta", "usage", "error", "text", "content", "logprobs", "token",
            "generated_text", "details", "text_output", "outputs", "name", "data", "message",
            "finish_reason", "completion_tokens", "num_output_tokens",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
def test_no_json_at_all_raises(way: tuple[str, Api], value: Any) -> None:
    provider, api = way
    text = frame(value) if api.stream else json.dumps(value)
    assert isinstance(read(provider, api, text), Reading)


def test_bodies_ask_in_each_dialect() -> None:
    assert body("vllm", STREAM)["ignore_eos"] is True
    assert body("fireworks", STREAM)["min_tokens"] == 9
    assert "stream_options" not in body("together", STREAM)
    assert "stream_options" not in body("openai", WHOLE)
    assert body("openai", COMPLETIONS)["prompt"] == "what is new"
    chat = body("openai", Api(logprobs=2), CHAT)
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 2)
    assert [message["role"] for message in chat["messages"]] == ["user", "assistant", "user"]
    assert body("openai", Api(endpoint="completions", logprobs=2))["logprobs"] == 2
    tgi = body("tgi", STREAM, CHAT)
    assert tgi["inputs"] == "user: hi\nassistant: hello\nuser: and now\nassistant:"
    assert tgi["parameters"] == {"max_new_tokens": 9, "details": True}  # a temperature of 0
    assert body("tgi", Api(temperature=0.5))["parameters"]["temperature"] == 0.5
    infer = body("triton-infer", WHOLE)["inputs"]
    assert infer[1] == {"name": "max_tokens", "shape": [1, 1], "datatype": "INT32", "data": [9]}


def test_a_model_with_a_slash_in_its_name_keeps_it_out_of_the_path() -> None:
    path = providers()["triton-generate"].path("org/model", STREAM)
    assert path == "/v2/models/org%2Fmodel/generate_stream"


def test_what_a_provider_does_not_offer_is_refused_before_the_run(
    quick: Callable[..., Any],
) -> None:
    with pytest.raises(ProfileError, match="triton-infer has no streams"):
        quick(provider="triton-infer")
    assert quick(provider="triton_infer", api=WHOLE).provider == "triton-infer"


def test_a_bare_list_of_models_will_do() -> None:
    probe = providers()["together"].probe("a")
    assert probe.models is not None
    assert probe.models(b'[{"id": "a"}, {"id": "b"}]') == ["a", "b"]
    assert probe.models(b'{"data": [{"id": "a"}]}') == ["a"]
