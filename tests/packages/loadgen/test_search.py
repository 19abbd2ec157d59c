# SPDX-License-Identifier: Apache-2.0
"""Search and sweep: the statistics that decide, and whole searches on the mock."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen import OutputError, Profile, ProfileError
from loadgen.outcomes import Outcome
from loadgen.progress import PlainProgress
from loadgen.search.intervals import Share, least_requests, least_slope
from loadgen.search.ladder import capacity_per_s, climb
from loadgen.search.rates import KEPT, RateSearch
from loadgen.search.saturation import LOOK_BACK_S, SaturationWatch
from loadgen.search.steps import OVER_SATURATED, STEP, Stepper, StoppedError
from loadgen.search.sweep import Grid, sweep
from rcalab_common.slo import Slo


@pytest.mark.parametrize(
    ("kept", "due", "low", "high"),
    # Newcombe 1998, table I, method 3 (Wilson's score without continuity correction).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_those_of_the_published_table(
    kept: int, due: int, low: float, high: float
) -> None:
    assert Share(kept, due).interval() == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("target", [0.5, 0.9, 0.99])
def test_fewer_requests_than_the_least_can_not_show_the_target(target: float) -> None:
    least = least_requests(target)
    assert Share(least, least).interval()[0] >= target
    assert Share(least - 1, least - 1).interval()[0] < target


def test_a_slope_counts_only_beyond_its_error() -> None:
    assert least_slope([2 * place for place in range(10)]) == pytest.approx(2)
    assert least_slope([5, 4, 6, 5, 4, 6, 5, 4, 6, 5]) < 0
    assert least_slope([1, 2]) == float("-inf")


class Ended:
    def __init__(self, ttft_ms: float | None) -> None:
        self.outcome = Outcome.SUCCESS
        self.response_ttft_ms = self.service_ttft_ms = ttft_ms
        self.response_latency_ms = self.service_latency_ms = ttft_ms
        self.tpot_ms = self.prompt_tokens = self.output_tokens = None


def watched(served: Callable[[int], int], ttft_ms: Callable[[int], float]) -> bool:
    """Twenty requests arrive each second, of which so many are served; say what the watch saw."""
    stop = asyncio.Event()
    watch = SaturationWatch(PlainProgress(lambda _: None), stop, after_s=2)
    for second in range(2 + 2 * LOOK_BACK_S):
        for _ in range(20):
            watch.sent()
        for _ in range(served(second)):
            watch.finished(Ended(ttft_ms(second)))
        watch.tick(second + 1, 100)
    assert stop.is_set() == watch.saturated
    return watch.saturated


def test_requests_that_pile_up_while_ttft_grows_are_over_saturation() -> None:
    assert watched(lambda _: 15, lambda second: 50 + 100 * second)


def test_a_service_that_answers_nothing_at_all_is_over_saturated() -> None:
    assert watched(lambda _: 0, lambda _: 0)


def test_a_load_that_fills_a_service_is_not_over_saturation() -> None:
    # Long answers: in flight rises until the first ones end, TTFT stays.
    assert not watched(lambda second: 0 if second < 8 else 20, lambda _: 50)
    assert not watched(lambda _: 15, lambda second: 50 + second % 2)
    assert not watched(lambda _: 20, lambda second: 50 + 10 * second)


@pytest.fixture
def stepping(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> Callable[..., Any]:
    """Do something with a stepper and a profile, against a mock of four places: at 100 ms a
    request, it does forty a second."""

    def go(work: Callable[[Stepper, Profile], Any], **changes: Any) -> Any:
        said: list[str] = []

        async def body(url: str) -> Any:
            stepper = Stepper(folder=tmp_path, stop=asyncio.Event(), say=said.append)
            slo = Slo(ttft_ms=400, latency_ms=2000, target=0.8, window_s=5)
            settings = {"output_tokens": 4, "duration_s": 3.0, "warmup_s": 1.2, "drain_s": 1.0}
            settings["slo"] = slo
            return await work(stepper, quick(url, **{**settings, **changes}))

        return with_mock(body, ttft_ms=70, itl_ms=10, max_concurrency=4), said

    return go


@pytest.mark.slow
def test_a_search_climbs_to_the_knee_and_finds_a_rate_below_it(
    stepping: Callable[..., Any], tmp_path: Path
) -> None:
    async def work(stepper: Stepper, profile: Profile) -> Any:
        rungs = await climb(stepper, profile, think_s=0, most_users=64)
        rates = RateSearch(
            stepper=stepper, profile=profile, precision=0.5, repeats=2, most_per_s=500
        )
        return rungs, rates, await rates.bisect(capacity_per_s(rungs))

    (rungs, rates, (kept, broken)), said = stepping(work)
    assert [rung.users for rung in rungs] == [2**place for place in range(len(rungs))]
    # Four places of 100 ms each: more users than four bring no more answers, but longer waits.
    assert rungs[-1].users <= 16
    assert 0 < capacity_per_s(rungs) < 50
    # Each user is always in a request: the rate is the users by the time of one.
    for rung in rungs:
        assert rung.credible, rung.little
    assert kept is not None
    assert broken is not None
    assert kept < broken
    assert broken - kept <= 0.5 * broken
    verdicts = {probe.rate_per_s: probe.verdict(0.8) for probe in rates.probes}
    assert verdicts[kept] == KEPT
    assert verdicts[broken] != KEPT
    # Enough requests were due at each rate to show the target at all.
    assert all(probe.share.due >= least_requests(0.8) for probe in rates.probes)
    assert said[0] == "users-1 ..."
    assert (tmp_path / "users-1" / "requests.jsonl").exists()


@pytest.mark.slow
def test_steps_that_are_done_are_read_and_not_done_again(
    stepping: Callable[..., Any], tmp_path: Path
) -> None:
    async def twice(stepper: Stepper, profile: Profile) -> None:
        first = await stepper.do("one", profile)
        before = first.result.requests_path.stat()
        second = await stepper.do("one", profile)
        assert second.result.requests_path.stat() == before
        assert second.result.summary == first.result.summary
        with pytest.raises(OutputError, match=r"step of another search.*--out.*--force"):
            await stepper.do("one", replace(profile, output_tokens=5))
        # A run that a person ended is no step, and is done again.
        (first.result.folder / STEP).unlink()
        third = await stepper.do("one", profile)
        assert third.result.summary["start"] > first.result.summary["start"]

    stepping(twice, duration_s=0.3)


@pytest.mark.slow
def test_a_stopped_search_keeps_what_is_done(stepping: Callable[..., Any], tmp_path: Path) -> None:
    async def stop_it(stepper: Stepper, profile: Profile) -> None:
        await stepper.do("one", replace(profile, duration_s=0.2))
        asyncio.get_running_loop().call_later(1, stepper.stop.set)
        with pytest.raises(StoppedError, match="goes on from there"):
            await stepper.do("two", replace(profile, duration_s=60))

    stepping(stop_it)
    assert (tmp_path / "one" / STEP).exists()
    assert not (tmp_path / "two" / STEP).exists()


@pytest.mark.slow
def test_a_sweep_leaves_out_what_lies_above_an_over_saturated_rate(
    stepping: Callable[..., Any], tmp_path: Path
) -> None:
    async def work(stepper: Stepper, profile: Profile) -> Any:
        grid = Grid(rates_per_s=[300, 10, 100], prompt_tokens=[8], output_tokens=[4])
        return await sweep(stepper, profile, grid, 0.0)

    points, _ = stepping(work, duration_s=60.0, warmup_s=0.0)
    assert [point.load for point in points] == [10, 100, 300]
    assert [point.step and point.step.stopped for point in points] == [None, OVER_SATURATED, None]
    assert points[2].step is None
    summary = points[1].step.result.summary
    assert summary["interrupted"] is True
    assert summary["requests"]["issued"] < summary["requests"]["scheduled"] == 6000
    # What it achieved counts by the time that it lasted, not by the time that was planned.
    achieved = points[1].to_dict("rate_per_s")["success_per_s"]
    assert 1.2 * summary["rates_per_s"]["success"] < achieved < 50


def test_a_target_of_all_requests_can_not_be_searched_for(quick: Callable[..., Profile]) -> None:
    profile = quick(slo=Slo(target=1.0))
    stepper = Stepper(folder=Path(), stop=asyncio.Event(), say=print)
    with pytest.raises(ProfileError, match="below 1"):
        RateSearch(stepper=stepper, profile=profile, precision=0.1, repeats=1, most_per_s=9)


@pytest.mark.slow
def test_the_command_writes_a_table_files_and_a_page(
    with_mock: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from loadgen.cli import _parser

    async def body(url: str) -> int:
        words = ["sweep", "--url", url, "--users", "1,2", "--duration", "0.5", "--warmup", "0"]
        words += ["-p", "8", "-o", "4", "--out", str(tmp_path), "--write", "html"]
        arguments = _parser().parse_args(words)
        code: int = await arguments.command(arguments, Console(stderr=True))
        return code

    assert with_mock(body) == 0
    printed = capsys.readouterr().out
    assert "users  prompt  output" in printed
    rows = list(csv.DictReader((tmp_path / "steps.csv").open()))
    assert [row["users"] for row in rows] == ["1", "2"]
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert [step["step"] for step in found["steps"]] == ["users-1-p8-o4", "users-2-p8-o4"]
    assert (tmp_path / "sweep.html").stat().st_size > 0
