# SPDX-License-Identifier: Apache-2.0
"""The schedule, the prompts and the identifiers: fixed before the run, by the seed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from loadgen import Profile
from loadgen.prompts import identity, prompt
from loadgen.schedule import constant_rate

NS = 1_000_000_000


@pytest.mark.parametrize(
    ("rate", "warmup", "duration", "counts"),
    [(50, 0, 2, (0, 100)), (0.1, 10, 30, (1, 3)), (3, 1, 1, (3, 3)), (2.5, 0.5, 1, (2, 2))],
)
def test_as_many_requests_as_fit_at_equal_distances(
    quick: Callable[..., Profile],
    rate: float,
    warmup: float,
    duration: float,
    counts: tuple[int, int],
) -> None:
    schedule = constant_rate(quick(rate_per_s=rate, warmup_s=warmup, duration_s=duration))
    assert (schedule.warmup, schedule.measured) == counts
    for index, offset in enumerate(schedule.offsets_ns):
        assert offset == pytest.approx(index / rate * NS, abs=1)
        assert (offset < warmup * NS) == (index < schedule.warmup)
    assert schedule.offsets_ns[-1] < (warmup + duration) * NS


def test_the_hash_tells_loads_apart(quick: Callable[..., Profile]) -> None:
    base = constant_rate(quick()).sha256
    assert constant_rate(quick()).sha256 == base
    for change in ({"seed": 1}, {"rate_per_s": 51}, {"duration_s": 0.5}, {"warmup_s": 0.1}):
        assert constant_rate(quick(**change)).sha256 != base


def test_prompts_are_distinct_and_of_the_asked_length() -> None:
    prompts = [prompt(3, index, 8) for index in range(2000)]
    assert len(set(prompts)) == 2000
    assert {len(text.split()) for text in prompts} == {8}


def test_identifiers_are_distinct_and_well_formed() -> None:
    ids = [identity(seed, index) for seed in (0, 1) for index in range(1000)]
    assert len({each.request_id for each in ids}) == 2000
    version, trace, span, flags = ids[0].traceparent.split("-")
    assert (version, trace, len(span), flags) == ("00", ids[0].request_id, 16, "01")


def test_another_process_makes_the_same_load() -> None:
    code = (
        "from loadgen.prompts import identity, prompt; from loadgen import Profile;"
        "from loadgen.schedule import constant_rate;"
        "p = Profile(base_url='http://h', model='m', rate_per_s=7, duration_s=3, seed=5);"
        "print(prompt(5, 1, 9), identity(5, 1).request_id, constant_rate(p).sha256)"
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
