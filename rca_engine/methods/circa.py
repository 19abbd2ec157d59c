# SPDX-License-Identifier: Apache-2.0
"""CIRCA: a metric that its causes do not explain any more is where the intervention was.

Source: Li et al., Causal Inference-Based Root Cause Analysis for Online Service Systems with
Intervention Recognition, KDD 2022: structural graph (section 3.2), regression-based hypothesis
testing of each metric given its parents (3.3), descendant adjustment (3.4).

The graph is the structural one (``_structure``) where the topology links components by calls, else
PC's on the normal window. An edge whose direction PC leaves open makes no parent: to regress on an
effect would hide the cause.

Departures:

- A prediction from parents that left their normal range is uncertain; the residual is divided by
  the forecast's standard error (with the leverage of the parents' values), the paper's by that of
  the residuals alone.
- The median of the anomalous window's residuals and not their maximum (``quantile`` 1.0), and the
  limit by the effect, both as in N-Sigma (``_ordering``).
- Where a metric has more parents than a fifth of the normal steps, the most correlated count.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rca_engine.case import CaseView
from rca_engine.discovery import pc
from rca_engine.methods import _scores, method
from rca_engine.methods._scores import Floats, Ints, Mask, mean_and_deviation
from rca_engine.methods._structure import has_structure, structural_causes
from rca_engine.methods._suspects import Options, Suspects, gather
from rca_engine.ranking import Context, Ranking

_RIDGE = 1e-6
"""Share of the parents' variance added for collinear ones."""
_STEPS_PER_PARENT = 5
_STRUCTURAL_LIMIT = 400
"""Metrics looked at where no graph has to be discovered."""


@method(
    "circa",
    sources={"metrics"},
    paper="Li et al., Causal Inference-Based Root Cause Analysis for Online Service Systems with "
    "Intervention Recognition, KDD 2022",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    alpha: float = 0.05,
    max_order: int = 3,
    structural: bool = True,
    adjust: bool = True,
    limit: int | None = None,
    quantile: float = Options.quantile,
    guard_s: float = Options.guard_s,
    horizon_s: float | None = Options.horizon_s,
    threshold: float = Options.threshold,
) -> Ranking:
    """Rank metrics by how little their parents in a causal graph explain them."""
    known = structural and has_structure(case.table("metrics")["component"].unique(), case.topology)
    looked_at = limit or (_STRUCTURAL_LIMIT if known else Options.limit)
    suspects = gather(case, context, Options(looked_at, quantile, guard_s, horizon_s, threshold))
    if suspects.nothing_happened:
        return suspects.no_fault()
    causes = _graph(case, suspects, known, alpha, max_order)
    score = _deviation_given(suspects, causes)
    if adjust:
        score = adjusted(score, causes, threshold)
    return suspects.ranking(score)


def residuals(values: Floats, normal: Mask, causes: Mask) -> tuple[Floats, Floats]:
    """Return what the parents of each metric leave unexplained, and how uncertain that is.

    Parameters
    ----------
    values
        Shape (steps, n), no NaN.
    normal
        Shape (steps,): where the regressions are fitted.
    causes
        Shape (n, n): ``causes[i, j]`` where ``i`` is a parent of ``j``.

    Returns
    -------
    residual, widening
        Shape (steps, n) each, in the metrics' units, and the forecast's standard error in units of
        the residuals' standard deviation in the normal window: at least 1.
    """
    before = values[normal]
    spread = before.std(axis=0)
    moves = spread > 1e-12 * np.abs(before).max(axis=0)
    scaled = (values - before.mean(axis=0)) / np.where(moves, spread, 1.0)
    residual = values - before.mean(axis=0)
    widening = np.ones_like(values)
    steps = before.shape[0]
    for target in np.flatnonzero(causes.any(axis=0) & moves).tolist():
        parents = _strongest(scaled[normal], np.flatnonzero(causes[:, target] & moves), target)
        if not parents.size:
            continue
        design = scaled[:, parents]
        gram = design[normal].T @ design[normal] + _RIDGE * steps * np.eye(parents.size)
        weights = np.linalg.solve(gram, design[normal].T @ residual[normal, target])
        residual[:, target] -= design @ weights
        leverage = np.einsum("tp,pt->t", design, np.linalg.solve(gram, design.T))
        freedom = steps / max(steps - 1 - parents.size, 1)
        widening[:, target] = np.sqrt(freedom * (1.0 + leverage))
    return residual, widening


def adjusted(score: Floats, causes: Mask, threshold: float) -> Floats:
    """Add to the score of each anomalous metric the largest of its anomalous descendants.

    An intervention changes what comes after it too, and a strong effect must not outrank a weak
    cause. A quiet metric passes on what lies behind it (algorithm 2 of the paper).

    Parameters
    ----------
    score
        Shape (n,).
    causes
        Shape (n, n).
    threshold
        Score from which a metric is anomalous.
    """
    loud = score >= threshold
    reached = causes.astype(np.float64)
    for _ in range(score.size):
        further = ((reached * ~loud) @ causes + reached > 0).astype(np.float64)
        if (further == reached).all():
            break
        reached = further
    np.fill_diagonal(reached, 0.0)
    largest = (reached * np.where(loud, score, 0.0)).max(axis=1)
    return score + np.where(loud, largest, 0.0)


def _graph(case: CaseView, suspects: Suspects, known: bool, alpha: float, max_order: int) -> Mask:
    data = suspects.data
    if known:
        return structural_causes(
            [data.keys[at][0] for at in suspects.chosen],
            [data.metrics[at] for at in suspects.chosen],
            case.topology,
        )
    graph = pc.discover(suspects.values[data.normal], alpha=alpha, max_order=max_order)
    causes = graph.causes()
    return causes & ~causes.T


def _strongest(normal: Floats, parents: Ints, target: int) -> Ints:
    """Return the parents to regress on: no more than the normal steps can bear."""
    most = max(normal.shape[0] // _STEPS_PER_PARENT, 1)
    if parents.size <= most:
        return parents
    strength = np.abs(normal[:, parents].T @ normal[:, target])
    return np.sort(parents[np.argsort(-strength, kind="stable")[:most]])


def _deviation_given(suspects: Suspects, causes: Mask) -> Floats:
    """Return each metric's deviation from what its parents lead to expect, shape (m,)."""
    data = suspects.data.take(suspects.chosen)
    residual, widening = residuals(suspects.values, data.normal, causes)
    distances, _ = replace(data, values=residual).distances(mean_and_deviation)
    distances /= widening
    both_ways = np.zeros(suspects.chosen.size, dtype=np.int64)
    quantile = suspects.options.quantile
    score, _ = _scores.deviation(distances[data.anomalous], quantile, both_ways)
    change, _ = _scores.deviation(residual[data.anomalous], quantile, both_ways)
    effect = _scores.effect(
        change,
        suspects.before[suspects.chosen],
        data.resolution(),
        suspects.options.level_share,
    )
    return np.minimum(score, effect)
