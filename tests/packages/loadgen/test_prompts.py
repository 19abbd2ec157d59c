# SPDX-License-Identifier: Apache-2.0
"""What is asked: length, sharing, conversations, files, and the service's own count."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen import Profile, ProfileError, TargetError
from loadgen.profile import Timeouts
from loadgen.prompts.calibration import calibrate
from loadgen.prompts.dataset import read_dataset
from loadgen.prompts.maker import PromptMaker
from loadgen.prompts.spec import Message, Prompts
from loadgen.prompts.synthetic import WORDS, prompt
from loadgen.workload import Api, ClosedLoop, Lengths

Quick = Callable[..., Profile]


def texts(profile: Profile, count: int) -> list[str]:
    maker = PromptMaker(profile)
    return [maker.at(index).prompt.text for index in range(count)]


def test_prompts_are_distinct_and_of_the_asked_length() -> None:
    prompts = [prompt(3, index, 8) for index in range(2000)]
    assert len(set(prompts)) == 2000
    assert {len(text.split()) for text in prompts} == {8}


def test_the_padding_prompt_is_the_reference_tools(quick: Quick) -> None:
    profile = quick(prompts=Prompts(kind="padding"), prompt_tokens=40)
    first, second = texts(profile, 2)
    assert first == second
    assert first.startswith("Pad Pad Pad Pad Pad Generate a Django application")
    assert first.endswith("for every file!")
    randomized = quick(prompts=Prompts(kind="padding", randomize=True), prompt_tokens=50)
    first, second = texts(randomized, 2)
    assert first != second
    assert [len(letter) for letter in first.split()[:10]] == [1] * 10
    assert first.split()[10:] == second.split()[10:]
    assert first.split()[10:15] == ["Pad"] * 5  # 50 tokens: ten letters, five words, the task's 35
    chars = quick(prompts=Prompts(kind="padding", chars=300))
    assert len(texts(chars, 1)[0]) == 300


@pytest.mark.parametrize(
    ("prompts", "tokens", "message"),
    [
        ({"kind": "padding"}, 34, "prompt_tokens must be at least 35"),
        ({"kind": "padding", "randomize": True}, 44, "prompt_tokens must be at least 45"),
        ({}, 7, "prompt_tokens must be at least 8"),
        ({"kind": "text"}, 8, "need a text"),
        ({"kind": "file"}, 8, "need a path"),
        ({"text": "hi"}, 8, "no other kind takes one"),
        ({"kind": "text", "text": " "}, 8, "must not be empty"),
        ({"kind": "padding", "exact": True}, 99, "only synthetic prompts can be exact"),
        ({"randomize": True}, 8, "only prompts of kind padding or text"),
        ({"chars": 9}, 8, "only prompts of kind padding have"),
        ({"kind": "padding", "turns": 2}, 99, "have turns"),
        ({"turns": 0}, 8, "turns must be at least 1"),
    ],
)
def test_prompts_that_make_no_sense_are_refused(
    quick: Quick, prompts: dict[str, Any], tokens: int, message: str
) -> None:
    with pytest.raises(ProfileError, match=message):
        quick(prompts=Prompts(**prompts), prompt_tokens=tokens)


def test_prefixes_are_shared_within_a_group_and_the_rest_is_not(quick: Quick) -> None:
    prompts = Prompts(shared_tokens=20, groups=4, zipf=1.0)
    found = [text.split() for text in texts(quick(prompts=prompts, prompt_tokens=32), 4000)]
    assert {len(words) for words in found} == {32}
    counts = sorted(Counter(tuple(words[:20]) for words in found).values(), reverse=True)
    weights = [1, 1 / 2, 1 / 3, 1 / 4]
    expected = [4000 * weight / sum(weights) for weight in weights]
    assert counts == pytest.approx(expected, rel=0.12)
    assert len({tuple(words[20:]) for words in found}) == 4000


def test_a_conversation_grows_turn_by_turn(quick: Quick) -> None:
    profile = quick(prompts=Prompts(turns=3, sessions=2), outputs=Lengths(cap=4))
    maker = PromptMaker(profile)
    asked = [maker.at(index).prompt.messages for index in range(12)]
    # Two conversations side by side: 0, 2 and 4 are the turns of one, 1, 3 and 5 of the other.
    for first, second, third in ((0, 2, 4), (1, 3, 5), (6, 8, 10)):
        assert [len(asked[index]) for index in (first, second, third)] == [1, 3, 5]
        assert asked[second][:1] == asked[first]
        assert asked[third][:3] == asked[second]
    assert len({asked[index] for index in (0, 1, 6, 7)}) == 4
    roles = [message.role for message in asked[4]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    assert len(asked[4][1].content.split()) == 4  # as long as the answer that was asked for


def test_in_a_closed_loop_a_conversation_is_one_users(quick: Quick) -> None:
    profile = quick(rate_per_s=None, closed=ClosedLoop(users=3), prompts=Prompts(turns=2))
    maker = PromptMaker(profile)
    for user in range(3):
        first, second = (maker.at(index).prompt.messages for index in (user, user + 3))
        assert second[:1] == first


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "prompts"
        path.write_text(text)
        return path

    return write


SHAREGPT = [
    {
        "id": "a",
        "conversations": [
            {"from": "human", "value": "q1"},
            {"from": "gpt", "value": "a1"},
            {"from": "human", "value": "q2"},
        ],
    },
    {"id": "empty", "conversations": [{"from": "gpt", "value": "only an answer"}]},
    {
        "id": "b",
        "conversations": [{"from": "system", "value": "s"}, {"from": "user", "value": "q"}],
    },
]


def test_json_lines_of_each_form(written: Callable[[str], Path], quick: Quick) -> None:
    lines = [
        {"prompt": "one", "output_tokens": 3},
        {"text": "two", "max_tokens": 4},
        {"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "three"}]},
    ]
    path = written("\n".join(map(json.dumps, lines)) + "\n\n")
    maker = PromptMaker(quick(prompts=Prompts(kind="file", path=path), output_tokens=9))
    questions = [maker.at(index) for index in range(4)]
    assert [question.prompt.messages[-1].content for question in questions] == [
        "one",
        "two",
        "three",
        "one",
    ]
    assert [question.output_tokens for question in questions] == [3, 4, 9, 3]
    assert questions[2].prompt.messages[0] == Message("system", "be")


@pytest.mark.parametrize("lines", [True, False])
def test_sharegpt_as_lines_and_as_one_array(
    written: Callable[[str], Path], quick: Quick, lines: bool
) -> None:
    text = "\n".join(map(json.dumps, SHAREGPT)) if lines else json.dumps(SHAREGPT, indent=1)
    path = written(text)
    items = read_dataset(path, "sharegpt")
    assert len(items) == 2  # the one in which nobody asks is left out
    assert [message.content for message in items[0].prompt(0, 1).messages] == ["q1"]
    profile = quick(prompts=Prompts(kind="file", path=path, turns=2, sessions=2))
    maker = PromptMaker(profile)
    second = maker.at(2).prompt.messages
    assert [message.content for message in second] == ["q1", "a1", "q2"]
    assert [message.content for message in maker.at(1).prompt.messages] == ["s", "q"]


def test_a_long_array_is_read_piece_by_piece_and_only_as_far_as_needed(
    written: Callable[[str], Path],
) -> None:
    item = {"conversations": [{"from": "human", "value": "x" * 1000}]}
    good = ",".join([json.dumps(item)] * 300)
    path = written(f"[{good}, nonsense")
    assert len(read_dataset(path, limit=300)) == 300
    with pytest.raises(ProfileError, match="element 301 is no JSON"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("", "auto", "no prompt in it"),
        ("{}\n", "auto", "line 1: it has no prompt, text, messages or conversations"),
        ('{"prompt": "a"}\n{nope\n', "auto", "line 2 is no JSON"),
        ('{"prompt": "a"}\n[]\n', "auto", "line 2: no JSON object"),
        ('{"prompt": "a", "output_tokens": 0}\n', "auto", "line 1: the output's length is no"),
        ('{"prompt": "a"}\n', "sharegpt", "line 1: it has no conversations"),
        ('{"messages": 3}\n', "jsonl", "line 1: the conversation is no list"),
        ('{"messages": [{"role": "user"}]}\n', "jsonl", "line 1: a message has no text under"),
    ],
)
def test_a_bad_file_says_where(
    written: Callable[[str], Path], text: str, form: str, message: str
) -> None:
    with pytest.raises(ProfileError, match=message):
        read_dataset(written(text), form)


def counter_of(template: int, split_above: int, asked: list[str] | None = None) -> Any:
    """Play a service's tokenizer: two tokens for each long word."""

    async def count(text: str) -> int:
        if asked is not None:
            asked.append(text)
        return template + sum(1 + (len(word) > split_above) for word in text.split())

    return count


@pytest.mark.parametrize(("template", "split_above"), [(0, 99), (37, 99), (12, 5), (12, 3)])
def test_calibrated_prompts_have_the_asked_tokens(template: int, split_above: int) -> None:
    asked: list[str] = []
    found = asyncio.run(calibrate(counter_of(template, split_above, asked), 0))
    assert found.exact == (split_above > 3)  # too few words of three letters are left
    assert found.probes == len(asked) <= 50
    count = counter_of(template, split_above)
    for wanted in (100, 333, 2000):
        words = prompt(1, wanted, found.words(wanted), found.vocabulary)
        got = asyncio.run(count(found.lead + words))
        assert got == wanted if found.exact else got == pytest.approx(wanted, rel=0.1)


def test_a_service_that_counts_nonsense_is_an_error() -> None:
    async def count(_text: str) -> int:
        return 5

    with pytest.raises(TargetError, match="leave out exact prompts"):
        asyncio.run(calibrate(count, 0))


def test_exact_prompts_from_the_services_own_count(load: Callable[..., Any]) -> None:
    mock = {"template_tokens": 17, "split_above": 5}
    result, records = load(mock, prompts=Prompts(exact=True), prompt_tokens=100, duration_s=0.2)
    assert {record["prompt_tokens"] for record in records} == {100}
    calibration = result.summary["calibration"]
    assert (calibration["exact"], calibration["overhead_tokens"]) == (True, 17 + 2)


def test_exact_prompts_for_clients_who_give_up_at_once(load: Callable[..., Any]) -> None:
    impatient = Timeouts(total_s=0.05)
    result, records = load(
        {"ttft_ms": 150}, prompts=Prompts(exact=True), timeouts=impatient, duration_s=0.2
    )
    assert {record["outcome"] for record in records} == {"total_timeout"}
    assert result.summary["calibration"]["exact"]


def test_exact_prompts_need_room_and_a_service_that_counts(
    load: Callable[..., Any], quick: Quick
) -> None:
    with pytest.raises(ProfileError, match="prompt_tokens must be at least 41"):
        load({"template_tokens": 39}, prompts=Prompts(exact=True), prompt_tokens=20)
    with pytest.raises(ProfileError, match="tgi doesn't count the tokens of a prompt"):
        quick(provider="tgi", api=Api(stream=False), prompts=Prompts(exact=True))


def test_a_text_of_ones_own_is_sent_and_not_recorded(load: Callable[..., Any]) -> None:
    result, records = load(prompts=Prompts(kind="text", text="one two three"), duration_s=0.1)
    assert {record["prompt_tokens"] for record in records} == {3}
    assert "one two three" not in result.summary_path.read_text()
    assert "one two three" not in result.requests_path.read_text()


def test_the_vocabulary_has_no_word_twice() -> None:
    assert len(set(WORDS)) == len(WORDS) > 150
