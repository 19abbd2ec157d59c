# SPDX-License-Identifier: Apache-2.0
"""The schedule and the identifiers: fixed before the run, by the seed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import Profile, ProfileError
from loadgen.arrivals import ARRIVALS, UNIT, Arrivals, place
from loadgen.curves import Curve, Segment, parse_curve
from loadgen.identity import identity
from loadgen.prompts.spec import Prompts
from loadgen.schedule import Schedule, make_schedule
from loadgen.shard import Shard
from loadgen.workload import Bursts, ClosedLoop, Lengths

NS = 1_000_000_000
Quick = Callable[..., Profile]


def gaps(schedule: Schedule) -> list[int]:
    return [later - earlier for earlier, later in pairwise(schedule.offsets_ns)]


def variation(values: list[int]) -> float:
    return statistics.pstdev(values) / statistics.fmean(values)


def due_between(schedule: Schedule, start_s: float, end_s: float) -> int:
    return sum(start_s * NS <= offset < end_s * NS for offset in schedule.offsets_ns)


@pytest.mark.parametrize(
    ("rate", "warmup", "duration", "counts"),
    [
        (50, 0, 2, (0, 100)),
        (0.1, 10, 30, (1, 3)),
        (3, 1, 1, (3, 3)),
        (2.5, 0.5, 1, (2, 2)),
        (0.7, 0, 10, (0, 7)),  # in binary, 0.7 x 10 is more than seven
    ],
)
def test_as_many_requests_as_fit_at_equal_distances(
    quick: Quick, rate: float, warmup: float, duration: float, counts: tuple[int, int]
) -> None:
    schedule = make_schedule(quick(rate_per_s=rate, warmup_s=warmup, duration_s=duration))
    assert (schedule.warmup, schedule.measured) == counts
    for index, offset in enumerate(schedule.offsets_ns):
        assert offset == pytest.approx(index / rate * NS, abs=1)
        assert (offset < warmup * NS) == (index < schedule.warmup)
    assert schedule.offsets_ns[-1] < (warmup + duration) * NS


def test_constant_gaps_are_constant(quick: Quick) -> None:
    assert variation(gaps(make_schedule(quick(rate_per_s=37, duration_s=60)))) < 1e-6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_poisson_gaps_vary_by_their_mean_and_forget_each_other(quick: Quick, seed: int) -> None:
    arrivals = Arrivals(distribution="poisson")
    found = gaps(make_schedule(quick(rate_per_s=200, duration_s=100, arrivals=arrivals, seed=seed)))
    assert statistics.fmean(found) == pytest.approx(NS / 200, rel=0.03)
    assert variation(found) == pytest.approx(1.0, abs=0.05)
    assert statistics.correlation(found[:-1], found[1:]) == pytest.approx(0, abs=0.03)
    # Exponential: an e-th of the gaps is longer than the mean.
    longer = sum(gap > NS / 200 for gap in found) / len(found)
    assert longer == pytest.approx(0.3679, abs=0.02)


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        (Arrivals(distribution="uniform"), 1 / 3**0.5),
        (Arrivals(distribution="gamma", burstiness=0.25), 2.0),
        (Arrivals(distribution="gamma", burstiness=4), 0.5),
    ],
)
def test_other_gaps_vary_as_they_should(quick: Quick, arrivals: Arrivals, expected: float) -> None:
    found = gaps(make_schedule(quick(rate_per_s=200, duration_s=100, arrivals=arrivals)))
    assert statistics.fmean(found) == pytest.approx(NS / 200, rel=0.05)
    assert variation(found) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    ("curve", "counts"),
    [
        ("ramp:0,20@10", [25, 75, 100]),
        ("steps:2,10@5", [10, 50, 50]),
        ("piecewise:0=4,5=4,5=0,10=0,10=6", [20, 0, 30]),
        ("piecewise:0=10", [50, 50, 50]),
        ("sine:10,10@10", [82, 18, 82]),  # 50 +- 100 / pi over half a period
    ],
)
def test_a_curve_puts_requests_where_its_rate_is(
    quick: Quick, curve: str, counts: list[int]
) -> None:
    schedule = make_schedule(quick(rate_per_s=None, curve=curve, duration_s=15))
    found = [due_between(schedule, start, start + 5) for start in (0, 5, 10)]
    assert found == pytest.approx(counts, abs=1)


def test_a_curve_starts_after_the_warmup_which_has_its_first_rate(quick: Quick) -> None:
    profile = quick(rate_per_s=None, curve="ramp:10,30@10", warmup_s=5, duration_s=10)
    schedule = make_schedule(profile)
    assert (schedule.warmup, schedule.measured) == (50, 200)
    assert schedule.offsets_ns[50] == 5 * NS


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.fractions(0, 5, max_denominator=50),
            st.fractions(0, 50, max_denominator=50),
            st.fractions(0, 50, max_denominator=50),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_curve_gives_as_many_requests_as_its_integral(
    pieces: list[tuple[float, float, float]],
) -> None:
    segments = [Segment(*piece) for piece in pieces]  # type: ignore[arg-type]  # fractions
    area = sum((start + end) / 2 * length for length, start, end in pieces)
    total_ns = sum(length for length, _, _ in pieces) * NS
    points = iter(range(0, 10**6 * UNIT, UNIT))
    times = [time for _, time in place(points, iter(segments))]
    assert len(times) == -(-area // 1)
    assert times == sorted(times)
    assert all(0 <= time <= total_ns for time in times)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flat", "a curve is one of ramp:FROM,TO@SECONDS"),
        ("ramp:1@10", "it takes two rates"),
        ("ramp:1,2@0", "the time must be above 0"),
        ("steps:@3", "write the curve as steps:RATE"),
        ("sine:1,2@10", "amplitude must be at most the mean"),
        ("piecewise:1=2", "first point must be at second 0"),
        ("piecewise:0=1,5=2,4=1", "in the order of time"),
        ("piecewise:0=x", "'0=x' is no point"),
        ("steps:0,0@3", "must be above 0 and at most 10000"),
        ("ramp:1,20000@3", "must be above 0 and at most 10000"),
    ],
)
def test_a_curve_that_is_none_is_told_how_to_be_one(text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        parse_curve(text)


def test_a_repeated_curve_never_ends() -> None:
    curve = parse_curve("sine:1,1@2")
    assert isinstance(curve, Curve)
    pieces = curve.pieces()
    assert sum(float(next(pieces).length_s or 0) for _ in range(640)) == pytest.approx(20)


def test_bursts_come_all_at_once(quick: Quick) -> None:
    profile = quick(rate_per_s=None, bursts=Bursts(every_s=2, size=3), warmup_s=2, duration_s=4)
    schedule = make_schedule(profile)
    assert list(schedule.offsets_ns) == [0] * 3 + [2 * NS] * 3 + [4 * NS] * 3
    assert schedule.warmup == 3


@pytest.mark.parametrize("distribution", ARRIVALS)
def test_a_count_ends_a_load_when_the_next_request_would_be_due(
    quick: Quick, distribution: str
) -> None:
    changes = {"arrivals": Arrivals(distribution=distribution), "warmup_s": 1}
    counted = make_schedule(quick(duration_s=None, requests=40, **changes))
    timed = make_schedule(quick(duration_s=100, **changes))
    assert counted.measured == 40
    assert list(counted.offsets_ns) == list(timed.offsets_ns[: len(counted.offsets_ns)])
    following = timed.offsets_ns[len(counted.offsets_ns)]
    assert counted.duration_s == pytest.approx(following / NS - 1)


def test_the_first_of_two_ends_counts(quick: Quick) -> None:
    assert make_schedule(quick(duration_s=1, requests=10)).measured == 10
    assert make_schedule(quick(duration_s=1, requests=1000)).measured == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_s": None}, "give the load an end"),
        ({"rate_per_s": None}, "give one load, of rate_per_s, curve"),
        ({"curve": "steps:1@1"}, "got rate_per_s and curve"),
        (
            {"rate_per_s": None, "closed": ClosedLoop(users=1), "arrivals": Arrivals(burstiness=2)},
            "arrivals belong to a rate",
        ),
        ({"prompt_tokens": 12, "prompts": Prompts(shared_tokens=10)}, "prompt_tokens must be at l"),
    ],
)
def test_a_load_must_be_one_load(quick: Quick, change: dict[str, object], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        quick(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_per_s": 10_000, "duration_s": 86_400}, "more than 10000000 requests"),
        ({"rate_per_s": None, "curve": "steps:0,1@5"}, "no request is due"),
        (
            {"rate_per_s": None, "curve": "steps:5,0@1", "duration_s": None, "requests": 6},
            "ends at a rate of 0 after 5 requests",
        ),
    ],
)
def test_a_load_of_nothing_or_far_too_much_is_refused(
    quick: Quick, change: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "more than" in message:
        monkeypatch.setattr("loadgen.schedule.MAX_REQUESTS", 1000)
        message = "more than 1000 requests"
    with pytest.raises(ProfileError, match=message):
        make_schedule(quick(**change))


def test_the_hash_tells_loads_apart(quick: Quick) -> None:
    base = make_schedule(quick()).sha256
    assert make_schedule(quick()).sha256 == base
    for change in (
        {"seed": 1},
        {"rate_per_s": 51},
        {"duration_s": 0.5},
        {"warmup_s": 0.1},
        {"output_tokens": 7},
        {"outputs": Lengths(distribution="normal")},
        {"prompts": Prompts(turns=2)},
        {"rate_per_s": None, "closed": ClosedLoop(users=2)},
    ):
        assert make_schedule(quick(**change)).sha256 != base, change


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_the_shares_of_several_processes_make_up_the_same_schedule(
    quick: Quick, shards: int
) -> None:
    one = quick(arrivals=Arrivals(distribution="poisson"), duration_s=3)
    several = quick(arrivals=Arrivals(distribution="poisson"), duration_s=3, processes=shards)
    schedules = [make_schedule(several) for _ in range(shards)]
    assert {schedule.sha256 for schedule in schedules} == {make_schedule(one).sha256}
    shares = [
        Shard(number, shards).of(len(schedule.offsets_ns))
        for number, schedule in enumerate(schedules)
    ]
    assert sorted(index for share in shares for index in share) == list(
        range(len(schedules[0].offsets_ns))
    )


def test_identifiers_are_distinct_and_well_formed() -> None:
    ids = [identity(seed, index) for seed in (0, 1) for index in range(1000)]
    assert len({each.request_id for each in ids}) == 2000
    version, trace, span, flags = ids[0].traceparent.split("-")
    assert (version, trace, len(span), flags) == ("00", ids[0].request_id, 16, "01")


def test_another_process_makes_the_same_load() -> None:
    code = (
        "from loadgen.identity import identity; from loadgen.prompts.synthetic import prompt;"
        "from loadgen import Profile; from loadgen.arrivals import Arrivals;"
        "from loadgen.schedule import make_schedule;"
        "p = Profile(base_url='http://h', model='m', curve='sine:9,5@4', duration_s=3, seed=5,"
        " arrivals=Arrivals(distribution='gamma', burstiness=0.5));"
        "print(prompt(5, 1, 9), identity(5, 1).request_id, make_schedule(p).sha256)"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_users_start_apart_and_think_as_told() -> None:
    users = ClosedLoop(users=50, think_s=2, thinking="exponential")
    starts = [users.start_ns(0, user) for user in range(50)]
    assert all(0 <= start < NS for start in starts)
    assert len(set(starts)) == 50
    thinks = [users.think_ns(0, index) / NS for index in range(2000)]
    assert statistics.fmean(thinks) == pytest.approx(2, rel=0.1)
    spawned = ClosedLoop(users=3, spawn_per_s=10)
    assert [spawned.start_ns(0, user) for user in range(3)] == [0, NS // 10, NS // 5]


@pytest.mark.parametrize(
    ("lengths", "mean", "bounds"),
    [
        (Lengths(), 100, (100, 100)),
        (Lengths(cap=30), 30, (30, 30)),
        (Lengths(distribution="uniform", range=0.5), 100, (50, 150)),
        (Lengths(distribution="normal", range=0.1), 100, (40, 160)),
        (Lengths(distribution="exponential"), 100, (1, 2000)),
        (Lengths(distribution="exponential", cap=50), 23, (1, 50)),  # truncated, not piled up
    ],
)
def test_output_lengths_follow_their_distribution(
    lengths: Lengths, mean: float, bounds: tuple[int, int]
) -> None:
    found = [lengths.at(3, index, 100) for index in range(3000)]
    assert found == [lengths.at(3, index, 100) for index in range(3000)]
    assert bounds[0] <= min(found) <= max(found) <= bounds[1]
    assert statistics.fmean(found) == pytest.approx(mean, rel=0.06)
