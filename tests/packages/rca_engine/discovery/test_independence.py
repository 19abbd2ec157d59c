# SPDX-License-Identifier: Apache-2.0
"""Fisher's z-test against a regression for each test, and its edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from rca_engine.discovery.independence import FisherZ


def by_regression(values, x, y, given):
    """Return the p-value from the correlation of what ``given`` leaves of ``x`` and ``y``."""
    design = np.column_stack([np.ones(len(values)), values[:, given]])
    left = values[:, [x, y]] - design @ np.linalg.lstsq(design, values[:, [x, y]], rcond=None)[0]
    r = np.corrcoef(left.T)[0, 1]
    return 2 * stats.norm.sf(np.sqrt(len(values) - len(given) - 3) * abs(np.arctanh(r)))


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_many_tests_at_once_equal_one_regression_each(linear, order):
    values = linear(0, 7, 2.5, 300).values
    tests = [
        (x, y, given)
        for x, y in itertools.combinations(range(7), 2)
        for given in itertools.combinations(sorted(set(range(7)) - {x, y}), order)
    ]
    x, y = (np.array([each[place] for each in tests]) for place in (0, 1))
    given = np.array([each[2] for each in tests], dtype=np.int64).reshape(len(tests), order)
    expected = [by_regression(values, *each[:2], list(each[2])) for each in tests]
    assert FisherZ(values).p_values(x, y, given) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_one_metric_against_many_given_many_sets_equals_one_test_each(linear):
    test = FisherZ(linear(0, 7, 2.5, 300).values)
    others = np.array([0, 2, 3, 5, 6])
    sets = np.array(list(itertools.combinations(others, 2)))
    found = test.of_target(1, others, sets)
    for (row, given), (column, other) in itertools.product(enumerate(sets), enumerate(others)):
        if other in given:
            assert found[row, column] == np.inf
        else:
            alone = test.statistics(np.array([1]), np.array([other]), given[None])
            assert found[row, column] == pytest.approx(alone[0])


def test_metrics_that_the_given_ones_determine_do_not_count_as_independent():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200))
    test = FisherZ(np.stack([x, y, 2 * x + 1, np.full(200, 3.0)], axis=1))
    zero, one = np.array([0]), np.array([1])
    assert test.p_values(zero, one, np.array([[2]])) == 0
    assert test.p_values(one, zero, np.array([[3]])) == pytest.approx(
        test.p_values(zero, one, np.zeros((1, 0), dtype=np.int64)), rel=0.02
    )
