# SPDX-License-Identifier: Apache-2.0
"""Conditional independence of linear-Gaussian metrics: many tests at once from one matrix.

A partial correlation needs the correlation matrix only. Conditioning on a set removes one metric
after the other from the rows that matter (Cholesky, Gram-Schmidt), for thousands of sets at once.
"""

from __future__ import annotations

import numpy as np

from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Ints

_DETERMINED = 1e-9
"""Share of a metric's variance that is left when others determine it: below it there is no test."""
_BLOCK = 2_000_000
"""Numbers that one block of conditioning sets may hold; bounds the memory."""


class FisherZ:
    """Fisher's z-test of a vanishing partial correlation.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN. A constant metric is independent of every other.

    References
    ----------
    R. A. Fisher, The distribution of the partial correlation coefficient, Metron 3, 1924.
    """

    def __init__(self, values: Floats) -> None:
        self.steps = values.shape[0]
        self.correlation = correlation(values)

    @property
    def size(self) -> int:
        """Number of metrics."""
        return int(self.correlation.shape[0])

    def p_values(self, x: Ints, y: Ints, conditioning: Ints) -> Floats:
        """Return the two-sided p-value of each test ``x[t]`` against ``y[t]``.

        Parameters
        ----------
        x, y
            Shape (tests,).
        conditioning
            Shape (tests, order): the metrics given in each test; order 0 is allowed.

        Returns
        -------
        Shape (tests,). A test in which the given metrics determine ``x`` or ``y`` says nothing of
        independence: its p-value is 0.
        """
        from scipy.special import erfc

        p: Floats = erfc(self.statistics(x, y, conditioning) / np.sqrt(2.0))
        return p

    def statistics(self, x: Ints, y: Ints, conditioning: Ints) -> Floats:
        """Return |z| of each test, standard normal under independence; see :meth:`p_values`."""
        x, y, conditioning = np.asarray(x), np.asarray(y), np.asarray(conditioning)
        order = conditioning.shape[1]
        columns = np.concatenate([conditioning, x[:, None], y[:, None]], axis=1)
        block = self.correlation[conditioning[:, :, None], columns[:, None, :]]
        places = np.broadcast_to(np.arange(order), conditioning.shape)
        removed = explained_by(block, places)
        x_part, y_part = removed[:, :, order], removed[:, :, order + 1]
        covariance = self.correlation[x, y] - (x_part * y_part).sum(axis=1)
        left = (1.0 - (x_part**2).sum(axis=1), 1.0 - (y_part**2).sum(axis=1))
        return self._z(covariance, *left, order)

    def of_target(self, target: int, others: Ints, sets: Ints) -> Floats:
        """Return |z| of ``target`` against each of ``others``, given each of ``sets``.

        Parameters
        ----------
        target
            A metric.
        others
            Shape (others,).
        sets
            Shape (sets, order): metrics, ``target`` not among them.

        Returns
        -------
        Shape (sets, others); infinite where the metric is in the set.
        """
        count, order = sets.shape
        tested = np.broadcast_to(np.append(others, target), (count, others.size + 1))
        columns = np.concatenate([sets, tested], axis=1)
        block = self.correlation[sets[:, :, None], columns[:, None, :]]
        places = np.broadcast_to(np.arange(order), sets.shape)
        explained = explained_by(block, places)[:, :, order:]
        covariance = self.correlation[target, others] - np.einsum(
            "sod,so->sd", explained[:, :, :-1], explained[:, :, -1]
        )
        left = 1.0 - (explained**2).sum(axis=1)
        statistics = self._z(covariance, left[:, :-1], left[:, -1:], order)
        statistics[(sets[:, :, None] == others).any(axis=1)] = np.inf
        return statistics

    def block(self, others: int, order: int) -> int:
        """Return how many sets :meth:`of_target` should be given at once."""
        return max(1, _BLOCK // ((others + order + 1) * max(order, 1)))

    def critical(self, alpha: float) -> float:
        """Return the |z| below which two metrics count as independent.

        Raises
        ------
        MethodError
            If ``alpha`` is no probability.
        """
        from scipy.special import ndtri

        if not 0.0 < alpha < 1.0:
            raise MethodError(f"alpha must be between 0 and 1, got {alpha}")
        return float(-ndtri(alpha / 2.0))

    def _z(self, covariance: Floats, left_x: Floats, left_y: Floats, order: int) -> Floats:
        freedom = self.steps - order - 3
        if freedom < 1:
            raise MethodError(
                f"{self.steps} steps are too few to test independence given {order} metrics; "
                f"at least {order + 4} are needed"
            )
        testable = (left_x > _DETERMINED) & (left_y > _DETERMINED)
        scale = np.sqrt(np.where(testable, left_x * left_y, 1.0))
        strength = np.minimum(np.abs(covariance) / scale, 1.0 - 1e-15)
        z: Floats = np.where(testable, np.sqrt(freedom) * np.arctanh(strength), np.inf)
        return z


def correlation(values: Floats) -> Floats:
    """Return the correlation matrix; a constant metric has 0 with every other, 1 with itself.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN.
    """
    scaled = standardised(values)
    matrix: Floats = np.clip(scaled.T @ scaled / values.shape[0], -1.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def standardised(values: Floats) -> Floats:
    """Return each metric with mean 0 and variance 1; a constant one is 0 throughout."""
    centred = values - values.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    varies = spread > 1e-12 * np.abs(values).max(axis=0, initial=0.0)
    scaled: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=varies)
    return scaled


def explained_by(block: Floats, places: Ints) -> Floats:
    """Return what each given metric explains of each column, after those given before it.

    Parameters
    ----------
    block
        Shape (sets, order, columns): correlation of each given metric with each column.
    places
        Shape (sets, order): where each given metric is among the columns.

    Returns
    -------
    Shape (sets, order, columns). The sum of its squares over ``order`` is the share of a column's
    variance that the set explains. A given metric that those before it determine explains nothing.
    """
    rows = np.arange(block.shape[0])
    explained = np.zeros_like(block)
    for given in range(block.shape[1]):
        place = places[:, given]
        before = explained[rows, :given, place]
        rest = block[:, given] - np.einsum("so,sod->sd", before, explained[:, :given])
        left = rest[rows, place]
        usable = left > _DETERMINED
        scale = np.sqrt(np.where(usable, left, 1.0))
        explained[:, given] = np.where(usable[:, None], rest / scale[:, None], 0.0)
    return explained
