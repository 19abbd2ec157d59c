# SPDX-License-Identifier: Apache-2.0
"""What a stream of OpenAI frames says, whatever its pieces hold."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.outcomes import Outcome
from loadgen.prompts.spec import Message, Prompt
from loadgen.provider import Ask, Reading, providers
from loadgen.workload import Api

PROVIDER = providers()["openai"]
STREAM = Api()
PROMPT = Prompt((Message("user", "p"),))
DONE = "data: [DONE]\n\n"


def frame(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


def delta(**parts: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": parts}]}


ROLE = frame(delta(role="assistant", content=""))
TOKEN = frame(delta(content="word"))
USAGE = frame({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}})


def read(*pieces: str) -> Reading:
    """Read pieces that arrive at 1, 2, 3, ... ns."""
    return PROVIDER.read([(at, piece.encode()) for at, piece in enumerate(pieces, start=1)], STREAM)


def test_a_whole_stream() -> None:
    reading = read(ROLE, TOKEN, TOKEN, USAGE, DONE)
    assert reading == Reading(
        outcome=Outcome.SUCCESS,
        first_token_ns=2,  # not the role's frame
        last_token_ns=3,
        terminal_ns=5,
        prompt_tokens=7,
        output_tokens=5,
        token_source="usage",
    )


def test_usage_only_chunks_anywhere_harm_nothing() -> None:
    assert read(USAGE, ROLE, USAGE, TOKEN, USAGE, DONE).outcome == Outcome.SUCCESS


def test_continuous_usage_is_cumulative_not_summed() -> None:
    counts = (frame(delta(content="w") | {"usage": {"completion_tokens": n}}) for n in (1, 2, 3))
    assert read(*counts, DONE).output_tokens == 3


def test_without_usage_the_content_frames_are_counted() -> None:
    reading = read(ROLE, TOKEN, TOKEN, DONE)
    assert (reading.output_tokens, reading.token_source) == (2, "chunks")


def test_reasoning_is_content() -> None:
    reading = read(frame(delta(reasoning_content="hm")), TOKEN, DONE)
    assert reading.first_token_ns == 1


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ((ROLE, TOKEN, TOKEN), Outcome.TRUNCATED),
        ((ROLE, TOKEN, TOKEN[:20]), Outcome.TRUNCATED),
        ((TOKEN[:20],), Outcome.TRUNCATED),
        ((ROLE, TOKEN, frame({"error": {"message": "boom"}}), DONE), Outcome.INBAND_ERROR),
        ((frame({"error": "boom"}),), Outcome.INBAND_ERROR),
        ((TOKEN, "data: {nope\n\n", DONE), Outcome.MALFORMED),
        ((TOKEN, "data: 7\n\n", DONE), Outcome.MALFORMED),
        ((frame({"choices": "x"}), DONE), Outcome.MALFORMED),
        ((frame({"choices": [{"delta": {"content": 3}}]}), DONE), Outcome.MALFORMED),
        ((frame({"choices": [], "usage": {"completion_tokens": "3"}}), DONE), Outcome.MALFORMED),
        (("<html>",), Outcome.MALFORMED),
        ((), Outcome.EMPTY),
        ((DONE,), Outcome.EMPTY),
        ((ROLE, USAGE, DONE), Outcome.EMPTY),
        ((ROLE, TOKEN, "data: [DONE]"), Outcome.SUCCESS),
        ((": comment\n\n", "event: x\r\nid: 3\r\n" + TOKEN, DONE), Outcome.SUCCESS),
    ],
)
def test_the_verdict(pieces: tuple[str, ...], outcome: Outcome) -> None:
    reading = read(*pieces)
    assert reading.outcome == outcome
    assert (reading.error is None) == (outcome is Outcome.SUCCESS)


def test_a_broken_stream_keeps_the_tokens_before_the_break() -> None:
    reading = read(ROLE, TOKEN, TOKEN, "data: {nope\n\n")
    assert (reading.first_token_ns, reading.last_token_ns, reading.output_tokens) == (2, 3, 2)


@given(st.lists(st.integers(1, 400), max_size=20))
def test_it_does_not_matter_where_the_pieces_are_cut(cuts: list[int]) -> None:
    whole = (ROLE + TOKEN * 3 + USAGE + DONE).replace("\n", "\r\n").encode()
    bounds = [0, *sorted(cut for cut in set(cuts) if cut < len(whole)), len(whole)]
    pieces = [(1, whole[a:b]) for a, b in pairwise(bounds)]
    assert PROVIDER.read(pieces, STREAM) == PROVIDER.read([(1, whole)], STREAM)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_at_all_raise(pieces: list[bytes]) -> None:
    PROVIDER.read([(at, b"data: " + piece + b"\n\n") for at, piece in enumerate(pieces)], STREAM)


def test_vllm_asks_for_answers_of_full_length() -> None:
    asked = Ask(model="m", prompt=PROMPT, output_tokens=9, api=STREAM)
    body = json.loads(providers()["vllm"].body(asked))
    assert (body["ignore_eos"], body["max_tokens"], body["stream"]) == (True, 9, True)
    assert body["stream_options"] == {"include_usage": True}
    assert "ignore_eos" not in json.loads(PROVIDER.body(asked))
