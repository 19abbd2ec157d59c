# SPDX-License-Identifier: Apache-2.0
"""When did it begin? Change points over many metrics at once, and the interval that stands out.

Online
    :func:`change_points` is Bayesian online change-point detection (Adams and MacKay, Bayesian
    Online Changepoint Detection, arXiv:0710.3742, algorithm 1): it keeps the distribution of the
    run length, which is how many steps the present regime has lasted. BARO (Pham et al., FSE 2024,
    section 3.2) uses it with a Gaussian of unknown mean and covariance as the regime, whose
    predictive distribution is a multivariate Student t.
Scan
    :func:`strongest_interval` is a scan statistic: of all intervals the one whose values differ
    most from the rest of the time, in ranks, so that no unit and no outlier weighs more than
    another. Its ends may be any steps, or the change points only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rca_engine.methods._scores import Floats, Ints

_HOPELESS = 1e-30
"""Probability below which the hypothesis of a run length is dropped for good, after each block. At
1e-6 that moves a change point in 19 of Sock Shop's 50 cases, at 1e-12 in one, at this in none."""
_BLOCK = 32
"""Steps whose hypotheses are weighed together: few calls, and few that a step can't hold yet."""
_FREEDOM = 2.0
"""Degrees of freedom of the first step's Student t: vague, with a mean."""
_DIMENSIONS = 3
"""Principal components in which change points are looked for."""


@dataclass(frozen=True)
class Prior:
    """What is believed before the first step.

    Parameters
    ----------
    mean_run
        Expected length of a regime in steps; the hazard is its inverse.
    strength
        How many steps the prior of the mean counts for; the prior mean is 0.
    """

    mean_run: float = 250.0
    strength: float = 1.0


def change_points(values: Floats, prior: Prior | None = None) -> Ints:
    """Return the steps at which a new regime began, ascending, step 0 not among them.

    Parameters
    ----------
    values
        Shape (steps, dimensions), finite, scaled to variances of at most about 1.
    prior
        How often regimes change.

    Returns
    -------
    Ints
        Shape (changes,): the boundaries of the segmentation that is read backwards from the most
        probable run length after the last step.
    """
    runs = most_probable_runs(values, prior or Prior())
    found: list[int] = []
    start = runs.size - int(runs[-1]) if runs.size else 0
    while start > 0:
        found.append(start)
        # A run of 0 says that the regime begins with the step to come.
        start -= max(int(runs[start - 1]), 1)
    return np.array(found[::-1], dtype=np.int64)


def most_probable_runs(values: Floats, prior: Prior) -> Ints:
    """Return the most probable run length after each step, that step included; shape (steps,).

    What a regime has seen is known from its two ends by cumulative sums, so that a block of steps
    is weighed at once. Hypotheses below ``_HOPELESS`` after a block are dropped; within one none
    is. The cost is steps x hypotheses x dimensions cubed.
    """
    steps = values.shape[0]
    seen = _Seen.of(values, prior)
    odds = -np.log(prior.mean_run - 1.0)
    starts, begun = np.zeros(1, dtype=np.int64), np.zeros(1)
    best = np.empty(steps, dtype=np.int64)
    for first in range(0, steps, _BLOCK):
        stops = np.arange(first, min(first + _BLOCK, steps)) + 1
        known = starts.size
        starts = np.concatenate([starts, stops])
        # A regime begins with the step to come, whichever lasted until now.
        begun = np.concatenate([begun, np.full(stops.size, -np.inf)])
        lasted = seen.evidence(starts, stops)
        for row, at in enumerate(range(known, starts.size)):
            begun[at] = odds + np.logaddexp.reduce(begun[:at] + lasted[row, :at])
        joint = begun + lasted
        best[first : stops[-1]] = stops - starts[joint.argmax(axis=1)]
        share = joint[-1] - np.logaddexp.reduce(joint[-1])
        kept = (share > np.log(_HOPELESS)) | (starts == stops[-1])
        starts, begun = starts[kept], begun[kept]
    return best


@dataclass(frozen=True)
class _Seen:
    """What the steps hold, for the evidence of a regime between any two of them.

    Parameters
    ----------
    total, products
        Shapes (dimensions, steps + 1) and (dimensions, dimensions, steps + 1): sums over the steps
        before each.
    of_length
        Shape (steps + 1,): what the evidence owes to the length alone.
    strength
        See :class:`Prior`.
    """

    total: Floats
    products: Floats
    of_length: Floats
    strength: float

    @classmethod
    def of(cls, values: Floats, prior: Prior) -> _Seen:
        """Return the sums of values of shape (steps, dimensions)."""
        steps, dimensions = values.shape
        padded = np.zeros((dimensions, steps + 1))
        padded[:, 1:] = values.T
        freedom = [run + _FREEDOM for run in range(steps)]
        each = [math.lgamma((nu + dimensions) / 2) - math.lgamma(nu / 2) for nu in freedom]
        length = np.arange(steps + 1)
        return cls(
            total=padded.cumsum(axis=1),
            products=(padded[:, None] * padded[None, :]).cumsum(axis=2),
            of_length=np.concatenate([[0.0], np.cumsum(each)])
            - dimensions / 2.0 * (np.log1p(length / prior.strength) + length * np.log(np.pi))
            + length * np.log1p(-1.0 / prior.mean_run),
            strength=prior.strength,
        )

    def evidence(self, starts: Ints, stops: Ints) -> Floats:
        """Return how probable the steps [start, stop) are as one regime that lasted, in logarithms.

        The marginal likelihood of a Gaussian under a normal-inverse-Wishart prior (Murphy,
        Conjugate Bayesian Analysis of the Gaussian Distribution, 2007, equation 266), times the
        chance that no step ended it.

        Returns
        -------
        Floats
            Shape (stops, starts): 0 for no steps, -inf where the stop comes before the start.
        """
        dimensions = self.total.shape[0]
        ends = np.maximum(stops[:, None], starts)
        length = ends - starts
        total = self.total[:, ends] - self.total[:, None, starts]
        scatter = self.products[:, :, ends] - self.products[:, :, None, starts]
        scatter -= total[:, None] * (total[None, :] / (self.strength + length))
        scatter += np.eye(dimensions)[:, :, None, None]
        weight = (length + _FREEDOM + dimensions - 1.0) / 2.0
        found = self.of_length[length] - weight * _log_determinant(scatter)
        return np.where(stops[:, None] < starts, -np.inf, found)


def _log_determinant(matrices: Floats) -> Floats:
    """Return the logarithms of positive definite matrices' determinants, by elimination.

    Parameters
    ----------
    matrices
        Shape (n, n, ...): one beside the other, where numpy's own takes them one by one.
    """
    found = np.zeros(matrices.shape[2:])
    while matrices.size:
        pivot = matrices[0, 0]
        found += np.log(pivot)
        matrices = matrices[1:, 1:] - matrices[1:, :1] * (matrices[:1, 1:] / pivot)
    return found


def boundaries(ranked: Floats) -> Ints:
    """Return the change points of many metrics, from their :func:`ranks`, shape (changes,)."""
    return change_points(principal(ranked, _DIMENSIONS))


def principal(values: Floats, dimensions: int) -> Floats:
    """Return the first principal components, the strongest with variance 1.

    Many metrics that follow one load are few dimensions, and the detector's prior, which prefers
    no direction, does not mind which.

    Parameters
    ----------
    values
        Shape (steps, metrics), finite.
    dimensions
        How many at most.
    """
    centred = values - values.mean(axis=0)
    steps, metrics = centred.shape
    # The smaller of the two products has the same components, at a fraction of an SVD's cost.
    if metrics <= steps:
        _, axes = np.linalg.eigh(centred.T @ centred)
        kept = centred @ axes[:, : -dimensions - 1 : -1]
    else:
        powers, places = np.linalg.eigh(centred @ centred.T)
        kept = (places * np.sqrt(np.maximum(powers, 0.0)))[:, : -dimensions - 1 : -1]
    spread = kept.std(axis=0).max(initial=0.0)
    scaled: Floats = kept / spread if spread > 0 else kept
    return scaled


def strongest_interval(
    ranked: Floats, *, before: int, least: int, around: int | None = None, ends: Ints | None = None
) -> tuple[int, int] | None:
    """Find the interval in which the metrics differ most from the rest of the time.

    It is the one with the largest variance between inside and outside, summed over the metrics
    (a scan statistic, or binary segmentation with a way back).

    Parameters
    ----------
    ranked
        Shape (steps, metrics), from :func:`ranks`.
    before, least
        Steps that must come before the interval, and that it must have.
    around
        A step that must lie in it.
    ends
        Steps at which it may begin or end, the last step's end always among them; by default 200
        evenly spaced ones, which bounds the cost at their square times metrics.

    Returns
    -------
    start, stop
        Steps, ``stop`` exclusive; None where no interval fits.
    """
    steps = ranked.shape[0]
    if ends is None:
        ends = np.linspace(0, steps, min(steps, 200) + 1).round().astype(np.int64)
    ends = np.unique(np.append(ends, steps))
    first = np.zeros((1, ranked.shape[1]))
    total = np.concatenate([first, np.cumsum(ranked, axis=0)])[ends]
    start, stop = ends[:, None], ends[None, :]
    allowed = (start >= before) & (stop >= start + least)
    if around is not None:
        allowed &= (start <= around) & (stop > around)
    length = np.where(allowed, stop - start, 1)
    power = np.einsum("em,em->e", total, total)
    between = power[:, None] + power[None, :] - 2.0 * (total @ total.T)
    strength = np.where(allowed, between * steps / (length * (steps - length)), -np.inf)
    if not allowed.any():
        return None
    row, column = np.unravel_index(int(strength.argmax()), strength.shape)
    return int(ends[row]), int(ends[column])


def ranks(values: Floats) -> Floats:
    """Return each metric's ranks over time, centred on 0 with variance 1.

    Equal values share a rank; an unknown value counts as neither high nor low.

    Parameters
    ----------
    values
        Shape (steps, metrics).
    """
    steps, metrics = values.shape
    order = np.argsort(values, axis=0, kind="stable")  # unknown values go last
    ordered = np.take_along_axis(values, order, axis=0)
    place = np.broadcast_to(np.arange(steps)[:, None], values.shape)
    edge = np.ones((1, metrics), dtype=bool)
    fresh = np.concatenate([edge, ordered[1:] != ordered[:-1]])
    first = np.maximum.accumulate(np.where(fresh, place, 0), axis=0)
    final = np.concatenate([fresh[1:], edge])
    last = np.minimum.accumulate(np.where(final, place, steps)[::-1], axis=0)[::-1]
    ranked = np.empty(values.shape)
    np.put_along_axis(ranked, order, (first + last) / 2.0, axis=0)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    ranked = np.where(known, ranked - np.where(known, ranked, 0.0).sum(axis=0) / count, 0.0)
    spread = ranked.std(axis=0)
    scaled: Floats = np.divide(ranked, spread, out=np.zeros_like(ranked), where=spread > 0)
    return scaled
