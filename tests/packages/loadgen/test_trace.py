# SPDX-License-Identifier: Apache-2.0
"""Recorded loads: each format's own time and lengths, and errors that say where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen import Profile, ProfileError
from loadgen.prompts.maker import PromptMaker
from loadgen.schedule import make_schedule
from loadgen.trace import Row, formats, read_trace
from loadgen.workload import Lengths, Trace

NS = 1_000_000_000

AZURE_2023 = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:16:00,879,55
"""
AZURE_2024 = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 02:00:01+02:00,2399,6
"""
BURSTGPT = """\
Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45.5,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,Conversation log
"""
MOONCAKE = """\
{"timestamp": 0, "input_length": 1030, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 1053, "input_length": 1100, "output_length": 26, "hash_ids": [46, 47, 49]}
"""


@pytest.fixture
def trace(tmp_path: Path) -> Callable[..., Trace]:
    def write(text: str, **options: object) -> Trace:
        path = tmp_path / "trace"
        path.write_text(text)
        return Trace(path=path, **options)  # type: ignore[arg-type]  # a test's own options

    return write


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            AZURE_2023,
            [Row(0, 374, 44), Row(4_314_579_000, 396, 109), Row(13_319_410_000, 879, 55)],
        ),
        (AZURE_2024, [Row(0, 2162, 5), Row(990_070_000, 2399, 6)]),
        (BURSTGPT, [Row(0, 472, 18), Row(40_500_000_000, 1087, 1), Row(113 * NS, 417, 276)]),
        (MOONCAKE, [Row(0, 1030, 52, (46, 47, 48)), Row(1_053_000_000, 1100, 26, (46, 47, 49))]),
    ],
)
def test_each_format_is_recognised_and_read(
    trace: Callable[..., Trace], text: str, rows: list[Row]
) -> None:
    assert list(read_trace(trace(text))) == rows
    assert list(read_trace(trace(text.replace("\n", "\r\n")))) == rows


def test_every_format_has_a_name_that_the_profile_knows() -> None:
    for name in formats():
        assert Trace(path=Path("x"), format=name).format == name


def test_a_trace_plays_faster(trace: Callable[..., Trace]) -> None:
    times = [row.time_ns for row in read_trace(trace(BURSTGPT, speed=10))]
    assert times == [0, 4_050_000_000, 11_300_000_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the trace is empty"),
        ("when,what\n1,2\n", r"line 1: a trace of no known format \(azure, burstgpt, mooncake\)"),
        (AZURE_2023 + "yesterday,1,2\n", "line 5: TIMESTAMP is no time: 'yesterday'"),
        (AZURE_2023 + "2023-11-16 18:17:00,1\n", "line 5: expected 3 columns, got 2"),
        (AZURE_2023 + "2023-11-16 18:17:00,x,1\n", "line 5: ContextTokens is no whole number"),
        (AZURE_2023 + "2023-13-16 18:17:00,1,1\n", "line 5: TIMESTAMP is no time"),
        (AZURE_2023 + "2023-11-16 18:15:59,1,1\n", "line 5: the time goes back by 1 s; sort"),
        (AZURE_2023.splitlines()[0], "the trace has no rows"),
        (BURSTGPT + "inf,m,1,1,2,x\n", "line 5: Timestamp is no number of seconds"),
        (BURSTGPT + "200,m,-1,1,2,x\n", "line 5: Request tokens must be a whole number"),
        (BURSTGPT + "200,m\n", "line 5: expected the columns"),
        (MOONCAKE + "{nope\n", "line 3: no JSON"),
        (MOONCAKE + "[]\n", "line 3: no JSON object"),
        (MOONCAKE + '{"timestamp": "1", "input_length": 1}\n', "line 3: timestamp is no number"),
        (MOONCAKE + '{"timestamp": 2000}\n', "line 3: input_length is no whole number"),
        (
            MOONCAKE + '{"timestamp": 2000, "input_length": 1, "hash_ids": ["a"]}\n',
            "line 3: hash_ids is no list",
        ),
    ],
)
def test_a_bad_line_is_named(trace: Callable[..., Trace], text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        list(read_trace(trace(text)))


def test_another_format_than_the_one_asked_for_is_refused(trace: Callable[..., Trace]) -> None:
    with pytest.raises(ProfileError, match="line 1: no burstgpt trace"):
        list(read_trace(trace(AZURE_2023, format="burstgpt")))
    with pytest.raises(ProfileError, match="can't read the trace"):
        list(read_trace(Trace(path=Path("/no/such"))))


def test_no_more_of_a_trace_is_read_than_is_played(
    trace: Callable[..., Trace], quick: Callable[..., Profile]
) -> None:
    """The broken line lies behind the end of the load."""
    lines = "".join(f"{second},m,100,10,110,x\n" for second in range(1000))
    text = BURSTGPT.splitlines(keepends=True)[0] + lines + "nonsense\n"
    profile = quick(rate_per_s=None, trace=trace(text), warmup_s=10, duration_s=20)
    schedule = make_schedule(profile)
    assert (schedule.warmup, schedule.measured, schedule.duration_s) == (10, 20, 20)
    counted = quick(rate_per_s=None, trace=trace(text), duration_s=None, requests=7)
    assert make_schedule(counted).measured == 7
    assert make_schedule(counted).duration_s == 7


def test_a_trace_ends_a_load_by_itself(
    trace: Callable[..., Trace], quick: Callable[..., Profile]
) -> None:
    schedule = make_schedule(quick(rate_per_s=None, duration_s=None, trace=trace(BURSTGPT)))
    assert list(schedule.offsets_ns) == [0, 40_500_000_000, 113 * NS]
    assert schedule.duration_s == pytest.approx(113 * 1.5)
    assert list(schedule.rows.output_tokens) == [18, 1, 276]


def test_recorded_lengths_are_asked_for_and_blocks_are_shared(
    trace: Callable[..., Trace], quick: Callable[..., Profile]
) -> None:
    profile = quick(rate_per_s=None, duration_s=None, trace=trace(MOONCAKE))
    schedule = make_schedule(profile)
    first, second = (PromptMaker(profile, schedule.rows).at(index) for index in (0, 1))
    assert (first.output_tokens, second.output_tokens) == (52, 26)
    capped = replace(profile, outputs=Lengths(cap=30))
    assert PromptMaker(capped, schedule.rows).at(0).output_tokens == 30
    words = [question.prompt.text.split() for question in (first, second)]
    assert [len(each) for each in words] == [1030, 1100]
    assert words[0][:1024] == words[1][:1024]  # blocks 46 and 47 of 512 tokens each
    assert words[0][1024:] != words[1][1024:1030]


def test_lengths_and_times_of_a_trace_are_in_the_hash(
    trace: Callable[..., Trace], quick: Callable[..., Profile]
) -> None:
    def digest(text: str) -> str:
        profile = quick(rate_per_s=None, duration_s=None, trace=trace(text))
        return make_schedule(profile).sha256

    base = digest(BURSTGPT)
    assert digest(BURSTGPT) == base
    assert digest(BURSTGPT.replace("276", "277")) != base
    assert digest(BURSTGPT.replace("118,", "119,")) != base
    assert digest(MOONCAKE) != digest(MOONCAKE.replace("49", "50"))


def test_memory_holds_the_rows_that_are_played_not_the_file(tmp_path: Path) -> None:
    """A trace that never ends can be read up to where it is needed."""
    path = tmp_path / "trace"
    with path.open("w") as file:
        file.write("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n")
        file.writelines(f"{second},m,1,1,2,x\n" for second in range(50_000))
    rows: Iterator[Row] = read_trace(Trace(path=path))
    assert next(rows) == Row(0, 1, 1)
    assert next(rows) == Row(NS, 1, 1)
