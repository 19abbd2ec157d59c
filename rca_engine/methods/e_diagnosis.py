# SPDX-License-Identifier: Apache-2.0
"""e-Diagnosis: which metrics' values before and during the incident come from two distributions.

A two-sample test by energy statistics (Szekely and Rizzo, Energy statistics, Journal of Statistical
Planning and Inference, 2013): with X before and Y during the incident, and primes for independent
copies, ``E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|`` is 0 if and only if the two distributions are the
same, and ``E / (2 E|X - Y|)`` lies between 0 and 1, whatever the unit. The answer is the metrics
for which the test refuses that the two are the same, in the order of that coefficient; others are
not ranked.

Permutations
    Telemetry is autocorrelated, so whole blocks of steps change places. All metrics change places
    together, and each is held against the largest coefficient of any metric (Westfall and Young,
    Resampling-Based Multiple Testing, 1993): ``alpha`` is the chance that a case in which nothing
    happened has any candidate.

The implementation in PyRCA flags a metric whose two windows are *similar* in time (correlated),
wants both windows equally long, and returns three metrics. None of that is here.

Departures from the paper: the multiplicity just said, which the paper leaves open; the order; a
shift that is small for the metric's level counts little (``level_share`` 0 for the plain
coefficient); some metric must deviate as much as BARO asks for, for the test knows neither that
without a time the interval was picked as the oddest of many, nor that load changes over minutes.
"""

from __future__ import annotations

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _scores, method
from rca_engine.methods._evidence import evidence_of
from rca_engine.methods._ordering import stands_out, strongest_first
from rca_engine.methods._scores import Floats, Ints, Mask
from rca_engine.methods._windows import WindowOptions, windows
from rca_engine.ranking import Candidate, Context, Ranking

_BLOCKS = 2
"""Blocks that the shorter window is cut into when steps change places."""
_FIRST_DEVIATION = 3.0
"""Interquartile ranges from which a value counts as the first deviation, for the evidence."""


@method(
    "e_diagnosis",
    sources={"metrics"},
    paper="Shan et al., e-Diagnosis: Unsupervised and Real-Time Diagnosis of Small-Window "
    "Long-Tail Latency in Large-Scale Microservice Platforms, WWW 2019",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = 0.05,
    permutations: int = 199,
    level_share: float = 0.01,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
    look_back: bool = True,
) -> Ranking:
    """Rank metrics by the energy distance between their values before and during the incident."""
    if not 0.0 < alpha < 1.0:
        raise MethodError(f"alpha must be between 0 and 1, got {alpha}")
    if permutations < 1 / alpha - 1:
        raise MethodError(
            f"permutations must be at least {int(np.ceil(1 / alpha - 1))} for alpha {alpha:g}: "
            f"with {permutations} no result can be that rare"
        )
    data = windows(case, context, WindowOptions(guard_s, horizon_s, look_back))
    if not stands_out(data, context):
        return Ranking((), time_ns=data.start_ns)
    used = data.normal | data.anomalous
    distances, before = data.distances(_scores.median_and_iqr)
    resolution = data.resolution()
    coefficient, largest = energy_coefficients(
        data.values[used],
        data.anomalous[used],
        _block_shuffles(data.anomalous[used], permutations, context.rng()),
        np.where(np.isnan(resolution), level_share * np.abs(before), resolution),
    )
    p_value = (1 + (largest[:, None] >= coefficient).sum(axis=0)) / (1 + permutations)
    either = np.zeros(len(data.keys), dtype=np.int64)
    _, sign = _scores.deviation(distances[data.anomalous], 0.5, either)
    evidence = evidence_of(data, distances, before, sign, _FIRST_DEVIATION)
    candidates = [
        Candidate(component, float(coefficient[index]), metric, evidence[index])
        for index, (component, metric) in enumerate(data.keys)
        if p_value[index] <= alpha
    ]
    return Ranking(tuple(sorted(candidates, key=strongest_first)), time_ns=data.start_ns)


def energy_coefficients(
    values: Floats, anomalous: Mask, shuffles: Mask, floor: Floats
) -> tuple[Floats, Floats]:
    """Return each metric's energy coefficient, and what labels that mean nothing reach.

    In one dimension ``E`` is twice the integral of the squared difference of the two distribution
    functions, and ``E|X - Y|`` is that of ``F (1 - G) + G (1 - F)``: one sort serves all labels.

    Parameters
    ----------
    values
        Shape (steps, metrics), NaN where unknown.
    anomalous
        Shape (steps,): the steps of Y.
    shuffles
        Shape (permutations, steps): other choices of them.
    floor
        Shape (metrics,): a distance that means nothing, which is added to ``E|X - Y|``.

    Returns
    -------
    coefficient, largest
        Shapes (metrics,) and (permutations,): the largest over all metrics.
    """
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    known = ~np.isnan(ordered)
    gaps = np.diff(ordered, axis=0)
    gaps[np.isnan(gaps)] = 0.0

    def coefficient(during: Mask) -> Floats:
        y = during[order] & known
        x = ~y & known
        f = np.cumsum(x, axis=0)[:-1] / np.maximum(x.sum(axis=0), 1)
        g = np.cumsum(y, axis=0)[:-1] / np.maximum(y.sum(axis=0), 1)
        energy = 2.0 * np.einsum("sm,sm->m", (f - g) ** 2, gaps)
        apart = np.einsum("sm,sm->m", f + g - 2.0 * f * g, gaps) + floor
        both = x.any(axis=0) & y.any(axis=0) & (apart > 0)
        ratio: Floats = np.divide(energy, 2.0 * apart, out=np.zeros_like(energy), where=both)
        return ratio

    largest = np.array([coefficient(each).max(initial=0.0) for each in shuffles])
    return coefficient(anomalous), largest


def _block_shuffles(anomalous: Mask, permutations: int, rng: np.random.Generator) -> Mask:
    """Return label vectors whose blocks changed places; shape (permutations, steps)."""
    shorter = min(int(anomalous.sum()), int((~anomalous).sum()))
    length = max(shorter // _BLOCKS, 1)
    blocks: Ints = np.arange(anomalous.size) // length
    count = int(blocks[-1]) + 1
    shuffled = np.empty((permutations, anomalous.size), dtype=bool)
    for row in range(permutations):
        place = rng.permutation(count)[blocks]
        shuffled[row] = anomalous[np.argsort(place, kind="stable")]
    return shuffled
