# SPDX-License-Identifier: Apache-2.0
"""Granger's test against regressions of its own, and how many false causes it names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rca_engine.discovery import granger
from rca_engine.errors import MethodError

STEPS = 400


def lags(values, column, lag):
    return np.stack([values[lag - back : STEPS - back, column] for back in range(1, lag + 1)], 1)


def by_regression(values, cause, effect, lag):
    """Return the p-value of the F test between the two regressions."""
    target = values[lag:, effect]
    own = np.column_stack([np.ones(STEPS - lag), lags(values, effect, lag)])
    both = np.column_stack([own, lags(values, cause, lag)])
    left = [
        ((target - design @ np.linalg.lstsq(design, target, rcond=None)[0]) ** 2).sum()
        for design in (own, both)
    ]
    freedom = STEPS - lag - both.shape[1]
    return stats.f.sf((left[0] - left[1]) / lag / (left[1] / freedom), lag, freedom)


@pytest.mark.parametrize("lag", [1, 3])
def test_all_pairs_at_once_equal_two_regressions_each(lag):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(STEPS, 4)) + 0.2 * rng.normal(size=(STEPS, 4)).cumsum(axis=0)
    values[1:, 1] += 0.5 * values[:-1, 0]
    p, _ = granger.p_values(values, lag=lag)
    for cause, effect in np.argwhere(~np.eye(4, dtype=bool)):
        expected = by_regression(values, cause, effect, lag)
        assert p[cause, effect] == pytest.approx(expected, rel=1e-6)


def test_the_lag_is_chosen_for_each_pair():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(STEPS, 3))
    values[4:, 1] += values[:-4, 0]
    assert not granger.discover(values, lag=1).causes()[0, 1]
    assert granger.discover(values, max_lag=5).causes()[0, 1]


def test_among_many_independent_metrics_hardly_any_cause_is_found():
    values = np.random.default_rng(0).normal(size=(STEPS, 60))
    assert granger.discover(values, lag=1).causes().sum() <= 2


def test_a_lag_below_one_is_refused():
    with pytest.raises(MethodError, match="lag must be at least 1"):
        granger.discover(np.zeros((50, 2)), lag=0)
