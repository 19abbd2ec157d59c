# SPDX-License-Identifier: Apache-2.0
"""RCD: the metrics that hang on the failure directly, found without learning the whole graph.

A failure is an intervention on its root cause. RCD adds a node F, 0 before and 1 during the
incident, and looks only for F's neighbours: a metric that some set of others separates from F was
moved by them. The metrics are split into chunks of ``gamma`` at random; what each chunk leaves goes
on to the next round, until one chunk is left or nothing more falls away (paper, algorithms 1 and 2,
psi-PC).

Test
    G2 on values put into ``bins`` classes. A test whose table has fewer than five steps a degree
    of freedom shows nothing (the usual rule) and separates nothing; neither does a set given which
    nothing is left to compare. Tests are compared by their standard scores (Wilson and Hilferty,
    1931), for p-values of strong changes are all 0.
Runs
    Chunks and the order of tests are random, and so is what the published implementation answers.
    Here the seed decides, and the score is the mean over ``runs``: in each, the metrics that are
    left score 1, 1/2, 1/3 ... in the order of their weakest dependence on F; metrics that were
    separated in every run are not ranked.
No fault
    Telemetry is autocorrelated and some of it always depends on the time: without a metric that
    deviates as much as BARO asks for there is no search.

Departures from the paper: the averaging; no search without a deviation; separating sets of at most
``depth`` metrics; classes of equally many different values instead of k-means, where values within
a tenth of the metric's level (``level_share``), or within its resolution, are no different; metrics
that were constant before are kept.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import _scores, method
from rca_engine.methods._evidence import evidence_of
from rca_engine.methods._ordering import stands_out, strongest_first
from rca_engine.methods._scores import Floats, Ints
from rca_engine.methods._windows import WindowOptions, Windows, windows
from rca_engine.ranking import Candidate, Context, Ranking

_STEPS_A_FREEDOM = 5
_FIRST_DEVIATION = 3.0
"""Interquartile ranges from which a value counts as the first deviation, for the evidence."""


@dataclass(frozen=True)
class Options:
    """How to search.

    Parameters
    ----------
    alpha
        Level of the independence test.
    gamma
        Metrics in a chunk.
    bins
        Classes of a metric's values.
    depth
        Most metrics in a separating set.
    runs
        Searches, each with other chunks.
    """

    alpha: float = 0.01
    gamma: int = 5
    bins: int = 5
    depth: int = 2
    runs: int = 20

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise MethodError(f"alpha must be between 0 and 1, got {self.alpha}")
        for name, least in (("gamma", 2), ("bins", 2), ("depth", 0), ("runs", 1)):
            if getattr(self, name) < least:
                raise MethodError(f"{name} must be at least {least}, got {getattr(self, name)}")


@method(
    "rcd",
    sources={"metrics"},
    paper="Ikram et al., Root Cause Analysis of Failures in Microservices through Causal "
    "Discovery, NeurIPS 2022",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = Options.alpha,
    gamma: int = Options.gamma,
    bins: int = Options.bins,
    depth: int = Options.depth,
    runs: int = Options.runs,
    level_share: float = 0.1,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = None,
    look_back: bool = True,
) -> Ranking:
    """Rank the metrics that no others separate from the failure, by a local causal search."""
    options = Options(alpha, gamma, bins, depth, runs)
    given = windows(case, context, WindowOptions(guard_s, horizon_s, look_back))
    # An order that depends on the values alone: chunks must not depend on names.
    data = given.take(np.lexsort(given.values[::-1]))
    if not stands_out(data, context):
        return Ranking((), time_ns=data.start_ns)
    used = data.normal | data.anomalous
    resolution = data.resolution()
    level = np.abs(_scores.quantiles(data.values[data.normal], (0.5,))[0])
    width = np.where(np.isnan(resolution), level_share * level, resolution)
    classes = discretise(data.values[used], options.bins, width)
    score = search(classes, data.anomalous[used].astype(np.int64), options, context.rng())
    return Ranking(_candidates(data, score), time_ns=data.start_ns)


def _candidates(data: Windows, score: Floats) -> tuple[Candidate, ...]:
    distances, before = data.distances(_scores.median_and_iqr)
    either = np.zeros(score.size, dtype=np.int64)
    _, sign = _scores.deviation(distances[data.anomalous], 0.5, either)
    evidence = evidence_of(data, distances, before, sign, _FIRST_DEVIATION)
    ranked = [
        Candidate(component, float(score[index]), metric, evidence[index])
        for index, (component, metric) in enumerate(data.keys)
        if score[index] > 0
    ]
    return tuple(sorted(ranked, key=strongest_first))


def discretise(values: Floats, bins: int, width: Floats) -> Ints:
    """Put each metric's values into classes of equally many different values.

    Different values, and not steps, are counted: a metric that is 0 for most of the time and then
    is not has two classes and not one.

    Parameters
    ----------
    values
        Shape (steps, metrics).
    bins
        Most classes.
    width
        Shape (metrics,): values this near count as equal; 0 for none.

    Returns
    -------
    Ints
        Shape (steps, metrics), from 0; -1 where unknown.
    """
    rounded = np.divide(values, width, out=values.copy(), where=width > 0)
    values = np.where(width > 0, np.round(rounded), values)
    classes = np.full(values.shape, -1, dtype=np.int64)
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column])
        different, place = np.unique(values[known, column], return_inverse=True)
        classes[known, column] = place * min(bins, different.size) // max(different.size, 1)
    return classes


def search(classes: Ints, failure: Ints, options: Options, rng: np.random.Generator) -> Floats:
    """Return each metric's mean score over the runs.

    Parameters
    ----------
    classes
        Shape (steps, metrics), from :func:`discretise`.
    failure
        Shape (steps,): the node F, 0 or 1.
    options
        How to search.
    rng
        Decides chunks and order.

    Returns
    -------
    Floats
        Shape (metrics,), from 0 (separated in each run) to 1.
    """
    tests = _Tests(classes, failure, options)
    score = np.zeros(classes.shape[1])
    for _ in range(options.runs):
        left = _one_run(tests, options, rng)
        for place, metric in enumerate(sorted(left, key=lambda each: (-left[each], each)), 1):
            score[metric] += 1.0 / place
    return score / options.runs


def _one_run(tests: _Tests, options: Options, rng: np.random.Generator) -> dict[int, float]:
    """Return the metrics that no chunk separates from F, each with its weakest dependence."""
    weakest = {metric: tests.marginal(metric) for metric in range(tests.metrics)}
    weakest = {metric: z for metric, z in weakest.items() if z >= tests.limit}
    while True:
        order = rng.permutation(np.array(sorted(weakest), dtype=np.int64)).tolist()
        left: dict[int, float] = {}
        for start in range(0, len(order), options.gamma):
            chunk = {each: weakest[each] for each in order[start : start + options.gamma]}
            left |= _local(tests, chunk, options.depth)
        if len(order) <= options.gamma or len(left) == len(order):
            return left
        weakest = left


def _local(tests: _Tests, chunk: dict[int, float], depth: int) -> dict[int, float]:
    """Drop from a chunk what others of it separate from F: psi-PC for the neighbours of F alone."""
    left = dict(chunk)
    for size in range(1, depth + 1):
        for metric in chunk:
            if metric not in left:
                continue
            others = [each for each in left if each != metric]
            for given in itertools.combinations(others, size):
                dependence = tests.conditional(metric, given)
                left[metric] = min(left[metric], dependence)
                if dependence < tests.limit:
                    del left[metric]
                    break
    return left


class _Tests:
    """Conditional independence of F and a metric by G2, each result computed once."""

    def __init__(self, classes: Ints, failure: Ints, options: Options) -> None:
        self._classes, self._failure, self._bins = classes, failure, options.bins
        self.metrics = classes.shape[1]
        self.limit = NormalDist().inv_cdf(1.0 - options.alpha)
        """Standard score from which on a dependence is significant."""
        self._known: dict[tuple[int, tuple[int, ...]], float] = {}

    def marginal(self, metric: int) -> float:
        """Return the standard score of the dependence of F and the metric."""
        return self.conditional(metric, ())

    def conditional(self, metric: int, given: tuple[int, ...]) -> float:
        """Return it within the strata that ``given`` makes; infinite where nothing can be told."""
        key = metric, tuple(sorted(given))
        if key not in self._known:
            self._known[key] = self._test(*key)
        return self._known[key]

    def _test(self, metric: int, given: tuple[int, ...]) -> float:
        columns = self._classes[:, [metric, *given]]
        known = (columns >= 0).all(axis=1)
        stratum = np.zeros(int(known.sum()), dtype=np.int64)
        for column in columns[known, 1:].T:
            stratum = stratum * self._bins + column
        strata = self._bins ** len(given)
        cell = (stratum * self._bins + columns[known, 0]) * 2 + self._failure[known]
        table = np.bincount(cell, minlength=strata * self._bins * 2).reshape(strata, self._bins, 2)
        return _standard_score(table.astype(np.float64), bool(given))


def _standard_score(table: Floats, conditional: bool) -> float:
    """Return G2 of a table (strata, classes, 2) as a standard score (Wilson and Hilferty)."""
    total = table.sum(axis=(1, 2), keepdims=True)
    rows, columns = table.sum(axis=2, keepdims=True), table.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = table * np.log(table * total / (rows * columns))
    g2 = 2.0 * float(np.where(table > 0, parts, 0.0).sum())
    free = ((rows > 0).sum(axis=1) - 1).clip(0) * ((columns > 0).sum(axis=2) - 1).clip(0)
    freedom = int(free.sum())
    if freedom == 0 or table.sum() < _STEPS_A_FREEDOM * freedom:
        return np.inf if conditional else -np.inf
    spread = 2.0 / (9.0 * freedom)
    return float(((g2 / freedom) ** (1.0 / 3.0) - (1.0 - spread)) / np.sqrt(spread))
