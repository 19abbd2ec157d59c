# SPDX-License-Identifier: Apache-2.0
"""Change points, ranks, quantiles and the strongest interval, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rca_engine.methods import _changepoint, _scores
from rca_engine.methods._changepoint import Prior


def regimes(*levels: float, length: int = 60, dimensions: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mean = np.repeat(levels, length)[:, None]
    return mean + rng.normal(0.0, 0.3, (mean.size, dimensions))


def test_each_change_of_level_is_found_where_it_is():
    assert _changepoint.change_points(regimes(0, 2, -1)).tolist() == [60, 120]


def test_a_change_of_spread_or_of_correlation_is_a_change_too():
    rng = np.random.default_rng(1)
    calm, wild = rng.normal(0, 0.2, (80, 2)), rng.normal(0, 2.0, (80, 2))
    (spread,) = _changepoint.change_points(np.concatenate([calm, wild]))
    shared = rng.normal(0, 1, (80, 1)) * [1.0, -1.0] + rng.normal(0, 0.05, (80, 2))
    (correlation,) = _changepoint.change_points(np.concatenate([rng.normal(0, 1, (80, 2)), shared]))
    assert abs(spread - 80) <= 3
    assert abs(correlation - 80) <= 5


def test_one_regime_has_no_change_point():
    assert _changepoint.change_points(regimes(0.0, length=200)).size == 0
    assert _changepoint.change_points(np.zeros((50, 1))).size == 0
    assert _changepoint.change_points(np.zeros((0, 1))).size == 0


def test_run_lengths_are_those_of_the_textbook_recursion():
    # Longer than a block, after which what is hopeless is dropped.
    values, prior = regimes(0, 1.5, length=50), Prior(mean_run=20.0)
    assert _changepoint.most_probable_runs(values, prior).tolist() == textbook(values, prior)


def textbook(values: np.ndarray, prior: Prior) -> list[int]:
    """Adams and MacKay's algorithm 1, every run length kept, posteriors from their data anew."""
    dimensions, hazard = values.shape[1], 1.0 / prior.mean_run
    mass, best = np.ones(1), []
    for step, value in enumerate(values):
        likelihood = np.array([predictive(values[step - run : step], value, prior, dimensions)
                               for run in range(step + 1)])  # fmt: skip
        joint = mass * likelihood
        mass = np.concatenate([[joint.sum() * hazard], joint * (1.0 - hazard)])
        mass /= mass.sum()
        best.append(int(mass.argmax()))
    return best


def predictive(seen: np.ndarray, value: np.ndarray, prior: Prior, dimensions: int) -> float:
    count = len(seen)
    kappa = prior.strength + count
    centre = seen.sum(axis=0) / kappa
    mean = seen.mean(axis=0) if count else np.zeros(dimensions)
    scatter = (seen - mean).T @ (seen - mean) + np.eye(dimensions)
    scatter += prior.strength * count / kappa * np.outer(mean, mean)
    freedom = count + 2.0
    shape = scatter * (kappa + 1) / (kappa * freedom)
    return float(stats.multivariate_t.pdf(value, centre, shape, df=freedom))


def test_ranks_share_ties_and_leave_the_unknown_in_the_middle():
    values = np.array([[3.0, 1.0], [1.0, 1.0], [np.nan, 1.0], [1.0, 1.0], [7.0, 1.0]])
    ranked = _changepoint.ranks(values)
    expected = stats.rankdata(values[[0, 1, 3, 4], 0])
    expected -= expected.mean()
    scale = np.append(expected, 0.0).std()
    assert ranked[[0, 1, 3, 4], 0] == pytest.approx(expected / scale)
    assert ranked[2, 0] == 0.0
    assert not ranked[:, 1].any()


def test_the_strongest_interval_is_the_one_that_was_lifted():
    values = np.random.default_rng(2).normal(0, 1, (200, 5))
    values[110:150, :2] += 4.0
    interval = _changepoint.strongest_interval(_changepoint.ranks(values), before=40, least=15)
    assert abs(interval[0] - 110) <= 1
    assert abs(interval[1] - 150) <= 1


def test_the_interval_keeps_to_what_is_asked_of_it():
    ranked = _changepoint.ranks(regimes(0, 3, 0, length=60))
    assert _changepoint.strongest_interval(ranked, before=70, least=15)[0] >= 70
    start, stop = _changepoint.strongest_interval(ranked, before=10, least=15, around=30)
    assert start <= 30 < stop
    ends = np.array([50, 100])
    start, stop = _changepoint.strongest_interval(ranked, before=10, least=15, ends=ends)
    assert (start, stop) == (50, 100)
    assert _changepoint.strongest_interval(ranked, before=170, least=15) is None


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(41, 7))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 3] = np.nan
    values[1:, 4] = np.nan
    values[0, 4] = 2.0
    asked = (0.0, 0.1, 0.5, 0.9, 1.0)
    known = np.arange(7) != 3
    assert _scores.quantiles(values, asked)[:, known] == pytest.approx(
        np.nanquantile(values[:, known], asked, axis=0)
    )
    assert np.isnan(_scores.quantiles(values, asked)[:, 3]).all()


def test_strengths_are_dealt_within_their_group_by_significance():
    strength = np.array([5.0, 90.0, 7.0, 1.0])
    significance = np.array([8.0, 90.0, 7.0, 400.0])
    groups = np.array([0, 1, 0, 1])
    assert _scores.share_out(strength, significance, groups).tolist() == [7.0, 1.0, 5.0, 90.0]
    assert _scores.share_out(strength, strength, groups).tolist() == strength.tolist()


@pytest.mark.parametrize("shape", [(60, 7), (20, 50)])
def test_principal_components_are_those_of_the_singular_value_decomposition(
    shape: tuple[int, int],
) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    left, sizes, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    expected = (left * sizes)[:, :3]
    found = _changepoint.principal(values, 3)
    assert np.abs(found) == pytest.approx(np.abs(expected / expected[:, 0].std()))
