# SPDX-License-Identifier: Apache-2.0
"""How far a metric went the bad way, in units of what it does in normal times."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine.methods._departures import Departures, departures, lasting
from rca_engine.methods._responses import correlations

STEPS, START = 200, 190


def depart(
    values: np.ndarray, direction: int = 0, resolution: float = np.nan, recent: int = 0
) -> Departures:
    steps = np.arange(values.size)
    return departures(
        values[:, None],
        steps < START,
        steps >= START,
        np.array([direction]),
        np.array([resolution]),
        level=0.99,
        recent=recent,
    )


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(10.0, 1.0, STEPS)


def step(values: np.ndarray, change: float, begin: int = START) -> np.ndarray:
    return values + np.where(np.arange(values.size) >= begin, change, 0.0)


def test_a_step_is_unusual_and_noise_is_not():
    assert depart(noise()).ratio < 1.0
    assert depart(step(noise(), 5.0)).ratio > 2.0


@pytest.mark.parametrize("change", [5.0, -5.0])
def test_only_the_bad_direction_counts_where_one_is_known(change):
    good, bad = (depart(step(noise(), change), way * int(np.sign(change))) for way in (-1, 1))
    assert good.ratio < 1.0 < bad.ratio
    assert bad.sign == np.sign(change)
    assert depart(step(noise(), change)).ratio == bad.ratio


def test_a_metric_that_often_jumps_must_jump_farther():
    jumpy = noise()
    for begin in range(5, START, 25):
        jumpy[begin : begin + 12] += 5.0
    assert depart(step(jumpy, 5.0)).ratio < depart(step(noise(), 5.0)).ratio / 2


def test_half_of_the_window_must_reach_it():
    short, long = noise(), noise()
    short[START : START + 4] += 50.0
    long[START : START + 6] += 50.0
    assert depart(short).ratio < 2.0
    assert depart(long).ratio > 20.0


def test_the_resolution_bounds_the_scale_and_serves_a_constant():
    constant = step(np.full(STEPS, 3.0), 0.5)
    assert depart(constant, resolution=0.1).ratio == pytest.approx(5.0)
    assert depart(constant, resolution=1.0).ratio == pytest.approx(0.5)
    assert depart(constant).ratio > 20.0
    assert depart(np.full(STEPS, 3.0)).ratio == 0.0


def test_units_change_nothing():
    values = step(noise(), 3.0)
    assert depart(values * 1e9).ratio == pytest.approx(depart(values).ratio)


def test_what_was_as_far_off_right_before_is_not_new():
    early = step(noise(), 5.0, begin=START - 10)
    assert depart(early, recent=8).ratio < 1.0
    assert depart(step(noise(), 5.0), recent=8).ratio > 2.0


def test_an_alert_that_comes_late_hides_nothing():
    late = step(noise(), 5.0, begin=START - 10)
    assert depart(late, recent=40).ratio > 2.0


def test_rows_that_are_unknown_are_left_out():
    gappy = step(noise(), 5.0)
    gappy[::3] = np.nan
    assert depart(gappy, recent=4).ratio > 2.0
    once = step(noise(), 5.0)
    once[START + 1 :] = np.nan
    assert depart(once).ratio == 0.0


def test_lasting_is_what_half_of_the_rows_and_two_at_least_reach():
    nan = np.nan
    rows = np.array([[5, 1, 2, 9], [5, 1, nan, 9], [nan, 1, nan, 9], [nan, nan, nan, 9]])
    assert lasting(rows) == pytest.approx([5, 5, 1, nan], nan_ok=True)


def test_correlation_is_pearsons_over_the_rows_that_both_know():
    random = np.random.default_rng(5)
    target = random.normal(size=50)
    values = np.stack([target + random.normal(size=50), np.ones(50), -1e12 * target], axis=1)
    values[3:9, 0] = np.nan
    known = np.isfinite(values[:, 0])
    expected = np.corrcoef(values[known, 0], target[known])[0, 1]
    assert correlations(values, target) == pytest.approx([expected, 0.0, -1.0])
    assert correlations(values[:2], target[:2]) == pytest.approx([0.0, 0.0, 0.0])
