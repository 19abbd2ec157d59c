# SPDX-License-Identifier: Apache-2.0
"""LiNGAM: a DAG of linear metrics with non-Gaussian noise, which tells cause from effect.

Both algorithms give an order of causes; then each metric is regressed on those before it, and the
links that are not significant are left out (where the lingam package takes an adaptive lasso).
Nothing is random: ICA starts from the whitened metrics themselves.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from rca_engine.discovery import causal_learn
from rca_engine.discovery.causal_learn import Backend
from rca_engine.discovery.granger import discoveries
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import standardised
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Ints, Mask

Algorithm = Literal["ica", "direct"]

_FLOOR = 1e-6
"""Least variance of a direction when whitening, the metrics having 1: less is rounding."""
_ITERATIONS, _CONVERGED = 500, 1e-6


def discover(
    values: Floats,
    *,
    algorithm: Algorithm = "ica",
    alpha: float = 0.05,
    backend: Backend = "own",
    seed: int = 0,
) -> CausalGraph:
    """Discover the DAG of linear non-Gaussian metrics.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN; standardised here.
    algorithm
        ``ica`` (Shimizu 2006), or ``direct`` (Shimizu 2011): slower, with no local optimum.
    alpha
        False discovery rate of the links; causal-learn prunes in its own way.
    backend
        ``own``, or ``causal-learn``.
    seed
        Used by causal-learn's ICA only.

    Returns
    -------
    CausalGraph
        Directed links; as weight the absolute coefficient between standardised metrics.

    Raises
    ------
    MethodError
        If an option is out of range, the steps are too few, or causal-learn is asked for and not
        installed or refuses the data.

    References
    ----------
    S. Shimizu et al., A Linear Non-Gaussian Acyclic Model for Causal Discovery, JMLR 7, 2006;
    S. Shimizu et al., DirectLiNGAM, JMLR 12, 2011.
    """
    if algorithm not in get_args(Algorithm):
        raise MethodError(f"algorithm is one of {', '.join(get_args(Algorithm))}, not {algorithm}")
    borrowed = causal_learn.chosen(backend)
    if values.shape[0] < values.shape[1] + 2:
        raise MethodError(
            f"{values.shape[0]} steps are too few for LiNGAM on {values.shape[1]} metrics; "
            f"at least {values.shape[1] + 2} are needed"
        )
    scaled, n = standardised(values), values.shape[1]
    # A constant metric would make the noise to unmix singular, and has no links anyway.
    varies = np.flatnonzero(scaled.any(axis=0))
    scaled = scaled[:, varies]
    if borrowed:
        found = causal_learn.lingam(scaled, algorithm, seed)
    else:
        found = _weights(scaled, algorithm, alpha)
    weights = np.zeros((n, n))
    weights[np.ix_(varies, varies)] = found
    return CausalGraph.directed(weights > 0, weights)


def _weights(scaled: Floats, algorithm: Algorithm, alpha: float) -> Floats:
    generations = ica_generations(scaled) if algorithm == "ica" else direct_generations(scaled)
    coefficients, p = _regress(scaled, generations)
    return np.where(discoveries(p, alpha), np.abs(coefficients), 0.0)


def ica_generations(scaled: Floats) -> Ints:
    """Order the metrics by ICA.

    Parameters
    ----------
    scaled
        Shape (steps, metrics), standardised.

    Returns
    -------
    Shape (metrics,): each metric's generation; causes come from lower ones only.
    """
    from scipy.optimize import linear_sum_assignment

    unmixing = _ica(scaled)
    # Each component is the noise of one metric: pair them so that no diagonal entry is small.
    _, component = linear_sum_assignment(1.0 / np.maximum(np.abs(unmixing.T), 1e-12))
    paired = unmixing[component]
    strength = np.abs(paired / np.diag(paired)[:, None]).T
    np.fill_diagonal(strength, 0.0)
    return _most_acyclic(strength)


def direct_generations(scaled: Floats) -> Ints:
    """Order the metrics by DirectLiNGAM; each is its own generation.

    Shape as in :func:`ica_generations`. The measure of independence is the likelihood ratio of
    A. Hyvärinen, S. M. Smith, JMLR 14, 2013.
    """
    rest, active = scaled.copy(), np.arange(scaled.shape[1])
    generations = np.zeros(scaled.shape[1], dtype=np.int64)
    for generation in range(scaled.shape[1]):
        first = int(_dependence(rest).argmin())
        generations[active[first]] = generation
        cause = rest[:, first].copy()
        active = np.delete(active, first)
        rest = np.delete(rest, first, axis=1)
        rest = standardised(rest - cause[:, None] * (cause @ rest / cause.size))
    return generations


def _ica(scaled: Floats) -> Floats:
    """Return the unmixing matrix of FastICA, all components at once, with log cosh.

    A. Hyvärinen, Fast and Robust Fixed-Point Algorithms for ICA, IEEE TNN 10, 1999. The start is
    the symmetric whitening, which doesn't depend on the order of the metrics.
    """
    steps = scaled.shape[0]
    variance, direction = np.linalg.eigh(scaled.T @ scaled / steps)
    whitening = direction @ (direction / np.sqrt(np.maximum(variance, _FLOOR))).T
    white = scaled @ whitening
    rotation = np.eye(scaled.shape[1])
    for _ in range(_ITERATIONS):
        bent = np.tanh(white @ rotation.T)
        slope = 1.0 - (bent**2).mean(axis=0)
        turned = _orthogonal(bent.T @ white / steps - slope[:, None] * rotation)
        moved = float(np.abs(np.abs((turned * rotation).sum(axis=1)) - 1.0).max())
        rotation = turned
        if moved < _CONVERGED:
            break
    unmixing: Floats = rotation @ whitening
    return unmixing


def _orthogonal(matrix: Floats) -> Floats:
    left, _, right = np.linalg.svd(matrix)
    nearest: Floats = left @ right
    return nearest


def _most_acyclic(strength: Floats) -> Ints:
    """Return the generations left by deleting the weakest links until no cycle remains.

    ``strength[i, j]`` of ``i -> j``. Deleting more never makes a cycle: so bisect.
    """
    limits = np.unique(strength)
    found = np.zeros(strength.shape[0], dtype=np.int64)
    low, high = 0, limits.size - 1
    while low < high:
        middle = (low + high) // 2
        generations = _generations(strength > limits[middle])
        if generations is None:
            low = middle + 1
        else:
            high, found = middle, generations
    return found


def _generations(causes: Mask) -> Ints | None:
    """Return each metric's generation, the length of the longest path to it; None if cyclic."""
    generations = np.full(causes.shape[0], -1, dtype=np.int64)
    open_ = np.ones(causes.shape[0], dtype=bool)
    for generation in range(causes.shape[0]):
        roots = open_ & ~causes[open_].any(axis=0)
        if not roots.any():
            break
        generations[roots] = generation
        open_ &= ~roots
    return None if open_.any() else generations


def _regress(scaled: Floats, generations: Ints) -> tuple[Floats, Floats]:
    """Regress each metric on all of the generations before its own.

    Returns
    -------
    coefficients, p
        Shape (n, n), of ``i`` on ``j``; the p-value of a t test, 1 where there was no regression.
    """
    from scipy.special import stdtr

    steps, n = scaled.shape
    coefficients, p = np.zeros((n, n)), np.ones((n, n))
    covariance = scaled.T @ scaled
    for generation in range(1, int(generations.max(initial=0)) + 1):
        effects = np.flatnonzero(generations == generation)
        causes = np.flatnonzero(generations < generation)
        inverse = np.linalg.pinv(covariance[np.ix_(causes, causes)], rcond=1e-10, hermitian=True)
        found = inverse @ covariance[np.ix_(causes, effects)]
        residual = scaled[:, effects] - scaled[:, causes] @ found
        freedom = steps - causes.size - 1
        variance = (residual**2).sum(axis=0) / freedom
        error = np.sqrt(np.outer(np.diag(inverse), variance))
        exact = np.where(found != 0, np.inf, 0.0)
        t = np.divide(np.abs(found), error, out=exact, where=error > 0)
        coefficients[np.ix_(causes, effects)] = found
        p[np.ix_(causes, effects)] = 2.0 * stdtr(freedom, -t)
    return coefficients, p


def _dependence(scaled: Floats) -> Floats:
    """Return how far each metric is from being independent of its residuals; shape (metrics,)."""
    steps, n = scaled.shape
    correlation = scaled.T @ scaled / steps
    left = np.sqrt(np.maximum(1.0 - correlation**2, _FLOOR))
    alone = _entropy(scaled)
    given = np.zeros((n, n))
    for cause in range(n):
        residual = (scaled - np.outer(scaled[:, cause], correlation[cause])) / left[cause]
        given[cause] = _entropy(residual)
    # Of "cause -> effect" against the reverse: below 0 speaks against it.
    ratio = alone[None, :] + given.T - alone[:, None] - given
    np.fill_diagonal(ratio, 0.0)
    against: Floats = (np.minimum(ratio, 0.0) ** 2).sum(axis=1)
    return against


def _entropy(scaled: Floats) -> Floats:
    """Return the entropy of each standardised metric (Hyvärinen 1998, approximation of maximum)."""
    absolute = np.abs(scaled)
    log_cosh = absolute + np.log1p(np.exp(-2.0 * absolute)) - np.log(2.0)
    skew = (scaled * np.exp(-(scaled**2) / 2.0)).mean(axis=0)
    entropy: Floats = (
        (1.0 + np.log(2.0 * np.pi)) / 2.0
        - 79.047 * (log_cosh.mean(axis=0) - 0.37457) ** 2
        - 7.4129 * skew**2
    )
    return entropy
