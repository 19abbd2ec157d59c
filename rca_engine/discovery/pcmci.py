# SPDX-License-Identifier: Apache-2.0
"""PCMCI: causal links with a lag between time series, by partial correlation.

Source: Runge, Nowack, Kretschmer, Flaxman, Sejdinovic, Detecting and quantifying causal
associations in large nonlinear time series datasets, Science Advances 5 (2019), algorithms S1
(condition selection, PC1) and S2 (momentary conditional independence, MCI), with ParCorr.
MicroCause's PCTS (Meng et al., IWQoS 2020, section IV.B) is this, with the lags folded.

The reference implementation (tigramite) is GPL-3 and tests one link at a time. Here the correlation
of all lagged series is computed once, each test is the inverse of a submatrix of it, and all tests
with as many conditions are inverted together.

Departures: at most ``max_conditions`` parents of each end are conditioned on, the strongest; the
false discovery rate is controlled over all links (Benjamini and Hochberg), as the paper advises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca_engine.discovery._canonical import in_canonical_order
from rca_engine.discovery.graph import CausalGraph, Mark
from rca_engine.discovery.independence import standardised
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Ints, Mask

_RIDGE = 1e-6
"""Added to the diagonal of the correlations: smooth series are nearly functions of their past."""
_LEAST_FREEDOM = 8


@dataclass(frozen=True)
class Links:
    """What the tests say of each link ``i`` at ``t - lag`` -> ``j`` at ``t``.

    Parameters
    ----------
    strength
        Shape (max_lag + 1, n, n): ``strength[lag, i, j]`` is the MCI partial correlation.
    p_value
        Same shape; 1 for a series with itself at lag 0.
    """

    strength: Floats
    p_value: Floats


def discover(
    values: Floats,
    *,
    max_lag: int = 3,
    alpha: float = 0.05,
    pc_alpha: float = 0.2,
    max_conditions: int = 6,
    contemporaneous: bool = True,
) -> CausalGraph:
    """Discover which series drive which.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN, at one step; constant columns get no links.
    max_lag
        In steps, at least 1.
    alpha
        False discovery rate of the links.
    pc_alpha
        Level of the condition selection.
    max_conditions
        Parents of either end that a test conditions on.
    contemporaneous
        Whether series that move together within one step, and not explained by any past, get an
        undirected edge.

    Returns
    -------
    CausalGraph
        ``i -> j`` where ``i`` drives ``j`` at some lag; weights are the largest absolute partial
        correlation over the significant lags. Links both ways make an undirected edge.

    Raises
    ------
    MethodError
        If there are too few steps for the tests.
    """
    return in_canonical_order(
        values,
        lambda ordered: _fold(
            links(ordered, max_lag=max_lag, pc_alpha=pc_alpha, max_conditions=max_conditions),
            alpha,
            contemporaneous,
        ),
    )


def links(
    values: Floats, *, max_lag: int = 3, pc_alpha: float = 0.2, max_conditions: int = 6
) -> Links:
    """Test each link; arguments and errors as for :func:`discover`."""
    steps, size = values.shape
    freedom = steps - 2 * max_lag - 2 - 2 * max_conditions
    if max_lag < 1 or freedom < _LEAST_FREEDOM:
        raise MethodError(
            f"PCMCI with lags up to {max_lag} needs at least "
            f"{2 * max_lag + 2 * max_conditions + 2 + _LEAST_FREEDOM} steps and a lag of 1 or more,"
            f" got {steps} steps; lower max_lag or max_conditions, or widen the windows"
        )
    tests = _Tests(_lagged_correlation(standardised(values), 2 * max_lag), steps - 2 * max_lag)
    parents = [
        _select_conditions(tests, target, size, max_lag, pc_alpha, max_conditions)
        for target in range(size)
    ]
    return _momentary(tests, parents, size, max_lag, max_conditions)


def adjusted(p_values: Floats) -> Floats:
    """Return the p-values adjusted for their number (Benjamini and Hochberg 1995), same shape."""
    flat = p_values.ravel()
    order = np.argsort(flat)
    scaled = flat[order] * flat.size / np.arange(1, flat.size + 1)
    result = np.empty_like(flat)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result.reshape(p_values.shape)


@dataclass(frozen=True)
class _Tests:
    """Partial correlation tests on lagged series; series ``i`` at lag ``k`` is ``k * size + i``."""

    correlation: Floats
    samples: int

    def partial(self, first: Ints, second: Ints, conditions: Ints) -> Floats:
        """Return partial correlations; shapes (tests,), (tests,), (tests, conditions)."""
        nodes = np.concatenate([first[:, None], second[:, None], conditions], axis=1)
        precision = np.linalg.inv(self.correlation[nodes[:, :, None], nodes[:, None, :]])
        scale = np.sqrt(precision[:, 0, 0] * precision[:, 1, 1])
        result: Floats = np.clip(-precision[:, 0, 1] / scale, -1 + 1e-12, 1 - 1e-12)
        return result

    def p_values(self, partial: Floats, conditions: int) -> Floats:
        """Return two-sided p-values of Student's t test."""
        from scipy.special import stdtr

        freedom = self.samples - 2 - conditions
        t = np.abs(partial) * np.sqrt(freedom / (1 - partial**2))
        p_values: Floats = 2 * stdtr(freedom, -t)
        return p_values


def _lagged_correlation(values: Floats, lags: int) -> Floats:
    steps = values.shape[0]
    lagged = np.concatenate([values[lags - lag : steps - lag] for lag in range(lags + 1)], axis=1)
    lagged = standardised(lagged)
    correlation: Floats = lagged.T @ lagged / lagged.shape[0]
    np.fill_diagonal(correlation, 1.0 + _RIDGE)
    return correlation


def _select_conditions(
    tests: _Tests, target: int, size: int, max_lag: int, alpha: float, most: int
) -> Ints:
    """Return the lagged parents of a series, strongest first (algorithm S1, one combination)."""
    parents = np.arange(size, size * (max_lag + 1))
    weakest = np.full(parents.size, np.inf)
    for count in range(most + 1):
        if count > max(parents.size - 1, 0):
            break
        strongest_others = _others(parents, count)
        partial = tests.partial(parents, np.full(parents.size, target), strongest_others)
        weakest = np.minimum(weakest, np.abs(partial))
        kept = tests.p_values(partial, count) <= alpha
        order = np.argsort(-weakest[kept], kind="stable")
        parents, weakest = parents[kept][order], weakest[kept][order]
    return parents


def _others(parents: Ints, count: int) -> Ints:
    """Return for each parent the ``count`` strongest of the others, shape (parents, count)."""
    position = np.arange(count)[None, :]
    return parents[position + (position >= np.arange(parents.size)[:, None])]


def _momentary(tests: _Tests, parents: list[Ints], size: int, max_lag: int, most: int) -> Links:
    """Test each link given the parents of both of its ends (algorithm S2)."""
    strength = np.zeros((max_lag + 1, size, size))
    p_value = np.ones_like(strength)
    lag, cause, effect = (each.ravel() for each in np.indices(strength.shape))
    wanted = (lag > 0) | (cause < effect)
    lag, cause, effect = lag[wanted], cause[wanted], effect[wanted]
    first = lag * size + cause
    sets = [
        _conditions(parents, int(x), int(y), int(shift), size, most)
        for x, y, shift in zip(first, effect, lag, strict=True)
    ]
    counts = np.array([each.size for each in sets])
    for count in np.unique(counts):
        at = np.flatnonzero(counts == count)
        conditions = np.stack([sets[each] for each in at])
        partial = tests.partial(first[at], effect[at], conditions)
        strength[lag[at], cause[at], effect[at]] = partial
        p_value[lag[at], cause[at], effect[at]] = tests.p_values(partial, int(count))
    for each in (strength, p_value):
        lower = np.tril_indices(size, -1)
        each[0][lower] = each[0].T[lower]
    return Links(strength, p_value)


def _conditions(
    parents: list[Ints], first: int, effect: int, lag: int, size: int, most: int
) -> Ints:
    of_effect = parents[effect]
    of_cause = parents[first - lag * size]
    both = np.concatenate([of_effect[of_effect != first][:most], of_cause[:most] + lag * size])
    conditions: Ints = np.unique(both[(both != first) & (both != effect)])
    return conditions


def _fold(found: Links, alpha: float, contemporaneous: bool) -> CausalGraph:
    """Fold the lags into one graph: MicroCause's failure causal graph."""
    size = found.strength.shape[1]
    tested = np.ones_like(found.p_value, dtype=bool)
    tested[0] = np.triu(np.ones((size, size), dtype=bool), 1) & contemporaneous
    significant = np.zeros_like(tested)
    significant[tested] = adjusted(found.p_value[tested]) <= alpha
    significant[0] |= significant[0].T
    significant[:, np.arange(size), np.arange(size)] = False
    weights = np.where(significant, np.abs(found.strength), 0.0).max(axis=0)
    return _marked(np.logical_or.reduce(significant[1:], axis=0), significant[0], weights)


def _marked(lagged: Mask, together: Mask, weights: Floats) -> CausalGraph:
    graph = CausalGraph.directed(lagged, weights)
    marks = graph.marks.copy()
    marks[together & (marks == Mark.NONE)] = Mark.TAIL
    return CausalGraph(marks, weights)
