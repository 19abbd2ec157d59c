# SPDX-License-Identifier: Apache-2.0
"""Granger causality of every pair of metrics, with a correction for how many pairs there are.

``i`` is a cause of ``j`` if the past of ``i`` says more of ``j`` than the past of ``j`` alone. A
metric's past is its last value and the differences before that: the same span as its lags, hence
the same F test, but far from singular where a metric moves slowly.
"""

from __future__ import annotations

import numpy as np

from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import standardised
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Ints, Mask

_DETERMINED = 1e-9
"""Share of a regressor's variance that is left when others determine it: it is left out."""
_EXACT = 1e-18
"""Residual sum of squares a step, of a standardised metric, that is rounding."""


def discover(
    values: Floats, *, alpha: float = 0.05, lag: int | None = None, max_lag: int = 5
) -> CausalGraph:
    """Discover which metric's past helps to predict which other.

    Parameters
    ----------
    values
        Shape (steps, metrics), evenly spaced, no NaN.
    alpha
        False discovery rate over all pairs (Benjamini, Hochberg 1995).
    lag
        Steps of the past; None to choose it for each pair by BIC, up to ``max_lag``.
    max_lag
        See ``lag``.

    Returns
    -------
    CausalGraph
        Directed links, and undirected where each predicts the other; as weight the share of the
        effect's unpredicted variance that the cause explains.

    Raises
    ------
    MethodError
        If an option is out of range or the steps are too few.

    References
    ----------
    C. W. J. Granger, Investigating Causal Relations by Econometric Models and Cross-spectral
    Methods, Econometrica 37, 1969.
    """
    p, gain = p_values(values, lag=lag, max_lag=max_lag)
    causes = discoveries(p, alpha)
    return CausalGraph.directed(causes, np.where(causes, gain, 0.0))


def p_values(values: Floats, *, lag: int | None = None, max_lag: int = 5) -> tuple[Floats, Floats]:
    """Test every pair; see :func:`discover`.

    Returns
    -------
    p, gain
        Shape (n, n): the p-value of "``i`` causes ``j``", 1 on the diagonal, and the share of what
        ``j``'s own past leaves unexplained that ``i``'s past explains. With the lag chosen by BIC
        the p-value takes no account of the choice.
    """
    from scipy.special import fdtrc

    deepest = max_lag if lag is None else lag
    if deepest < 1:
        raise MethodError(f"a lag must be at least 1, got {deepest}")
    rows = values.shape[0] - deepest
    if rows < 2 * deepest + 2:
        raise MethodError(
            f"{values.shape[0]} steps are too few for a lag of {deepest}; "
            f"at least {3 * deepest + 2} are needed"
        )
    orders = np.arange(1, deepest + 1) if lag is None else np.array([lag])
    own, both = _residuals(values, orders)
    chosen = _least_bic(both, orders, rows)
    unexplained = np.take_along_axis(own[:, None, :], chosen[None], axis=0)[0]
    left = np.take_along_axis(both, chosen[None], axis=0)[0]
    order = orders[chosen]
    freedom = rows - 2 * order - 1
    testable = (left > _EXACT * rows) & ~np.eye(values.shape[1], dtype=bool)
    removed = np.maximum(unexplained - left, 0.0)
    ratio = np.divide(removed * freedom, left * order, out=np.zeros_like(left), where=testable)
    p = np.where(testable, fdtrc(order, freedom, ratio), 1.0)
    gain = np.divide(removed, unexplained, out=np.zeros_like(left), where=testable)
    return p, gain


def discoveries(p: Floats, alpha: float) -> Mask:
    """Return which p-values stand at a false discovery rate of ``alpha``, the diagonal left out.

    Parameters
    ----------
    p
        Shape (n, n).
    alpha
        The false discovery rate.

    Raises
    ------
    MethodError
        If ``alpha`` is no probability.

    References
    ----------
    Y. Benjamini, Y. Hochberg, Controlling the False Discovery Rate, JRSS B 57, 1995.
    """
    if not 0.0 < alpha < 1.0:
        raise MethodError(f"alpha must be between 0 and 1, got {alpha}")
    tested = ~np.eye(p.shape[0], dtype=bool)
    ordered = np.sort(p[tested])
    limits = alpha * np.arange(1, ordered.size + 1) / max(ordered.size, 1)
    below = np.flatnonzero(ordered <= limits)
    found: Mask = tested & (p <= (ordered[below[-1]] if below.size else -1.0))
    return found


def _residuals(values: Floats, orders: Ints) -> tuple[Floats, Floats]:
    """Return the residual sums of squares for each order, the number of lags.

    Returns
    -------
    own, both
        Shapes (orders, n) and (orders, n, n): of each metric given its own past, and of ``j`` given
        also the past of ``i`` (``both[:, i, j]``).
    """
    target, past = _target_and_past(values, int(orders[-1]))
    rows, n, deepest = past.shape
    inner = np.einsum("tip,tiq->ipq", past, past)
    flat = past.reshape(rows, n * deepest)
    cross = (flat.T @ target).reshape(n, deepest, n)
    total = (target**2).sum(axis=0)
    own, both = np.zeros((orders.size, n)), np.zeros((orders.size, n, n))
    for j in range(n):
        basis = _basis(past[:, j])
        shared = (basis.T @ flat).reshape(deepest, n, deepest)
        explained = basis.T @ target[:, j]
        for at, order in enumerate(orders):
            known, part = shared[:order, :, :order], explained[:order]
            rest = inner[:, :order, :order] - np.einsum("kip,kiq->ipq", known, known)
            remaining = cross[:, :order, j] - np.einsum("kip,k->ip", known, part)
            own[at, j] = total[j] - part @ part
            both[at, :, j] = own[at, j] - _explained(rest, remaining)
    return own, both


def _target_and_past(values: Floats, deepest: int) -> tuple[Floats, Floats]:
    """Return each step's change, shape (rows, n), and its past, shape (rows, n, lags), centred.

    The past has a sum of squares of 1, or of 0 where it is constant.
    """
    scaled = standardised(values)
    change = np.diff(scaled, axis=0)
    rows = scaled.shape[0] - deepest
    parts = [scaled[deepest - 1 : deepest - 1 + rows]]
    parts += [change[deepest - 1 - back : deepest - 1 - back + rows] for back in range(1, deepest)]
    past = np.stack(parts, axis=2)
    past -= past.mean(axis=0)
    length = np.sqrt((past**2).sum(axis=0))
    target = change[deepest - 1 :]
    return target - target.mean(axis=0), np.divide(
        past, length, out=np.zeros_like(past), where=length > _DETERMINED
    )


def _basis(past: Floats) -> Floats:
    """Return an orthonormal basis whose first ``p`` columns span the first ``p`` of the past."""
    basis, triangle = np.linalg.qr(past)
    spans: Floats = basis * (np.abs(np.diag(triangle)) > _DETERMINED)
    return spans


def _explained(inner: Floats, cross: Floats) -> Floats:
    """Return how much of a target's sum of squares each group of regressors explains.

    Parameters
    ----------
    inner
        Shape (groups, p, p): inner products of the regressors of each group.
    cross
        Shape (groups, p): their inner products with the target.
    """
    inner, cross = inner.copy(), cross.copy()
    explained = np.zeros(inner.shape[0])
    for k in range(inner.shape[1]):
        left = inner[:, k, k].copy()
        inverse = np.divide(1.0, left, out=np.zeros_like(left), where=left > _DETERMINED)
        explained += cross[:, k] ** 2 * inverse
        row = inner[:, k].copy()
        cross -= row * (cross[:, k] * inverse)[:, None]
        inner -= row[:, :, None] * row[:, None, :] * inverse[:, None, None]
    return explained


def _least_bic(both: Floats, orders: Ints, rows: int) -> Ints:
    """Return, for each pair, the place of the order with the least BIC; shape (n, n)."""
    parameters = 2 * orders[:, None, None]
    bic = rows * np.log(np.maximum(both, _EXACT * rows)) + parameters * np.log(rows)
    chosen: Ints = bic.argmin(axis=0)
    return chosen
