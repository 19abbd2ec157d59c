# SPDX-License-Identifier: Apache-2.0
"""Fast causal inference: a PAG, which allows for common causes that no metric shows.

Departures from the sources: ``max_order`` bounds the sets that are conditioned on, and of the
separating sets the surest counts, so that the order of columns does not.
"""

from __future__ import annotations

import numpy as np

from rca_engine.discovery import _pag, causal_learn
from rca_engine.discovery._bits import members, rows
from rca_engine.discovery.causal_learn import Backend
from rca_engine.discovery.graph import CausalGraph, Mark, Marks
from rca_engine.discovery.independence import FisherZ
from rca_engine.discovery.orientation import unshielded
from rca_engine.discovery.skeleton import Skeleton, separate, skeleton
from rca_engine.methods._scores import Floats, Mask


def discover(
    values: Floats, *, alpha: float = 0.05, max_order: int = 3, backend: Backend = "own"
) -> CausalGraph:
    """Discover the PAG of linear-Gaussian metrics.

    Parameters
    ----------
    values
        Shape (steps, metrics), no NaN.
    alpha
        Significance level of Fisher's z-test.
    max_order
        Most metrics to condition on; causal-learn has no such bound.
    backend
        ``own``, or ``causal-learn``.

    Returns
    -------
    CausalGraph
        Links with arrows, tails and circles, no weights.

    Raises
    ------
    MethodError
        If an option is out of range, the steps are too few, or causal-learn is asked for and not
        installed or refuses the data.

    References
    ----------
    P. Spirtes, C. Glymour, R. Scheines, Causation, Prediction, and Search, 2000, section 6.7;
    J. Zhang, Artificial Intelligence 172, 2008.
    """
    if causal_learn.chosen(backend):
        return causal_learn.fci(values, alpha)
    test = FisherZ(values)
    found = skeleton(test, alpha, max_order)
    around = _possible_separators(_with_colliders(found))
    # Sets of neighbours alone have been tried.
    around[(around == found.adjacent).all(axis=1)] = False
    for order in range(1, max_order + 1):
        found = separate(test, found, test.critical(alpha), order, around)
    return CausalGraph(_pag.close(_with_colliders(found), found.separators))


def _with_colliders(found: Skeleton) -> Marks:
    """Return circles at all ends but those of unshielded colliders."""
    marks = np.where(found.adjacent, Mark.CIRCLE, Mark.NONE).astype(np.int8)
    for i, k, j in unshielded(found):
        marks[i, k] = marks[j, k] = Mark.ARROW
    return marks


def _possible_separators(marks: Marks) -> Mask:
    """Return Possible-D-SEP: ``possible[i, k]`` where ``k`` may be needed to separate ``i``.

    A path leads there from ``i`` on which each inner metric is a collider or in a triangle with
    those beside it (Spirtes et al., section 6.7).
    """
    linked, arrow = marks != Mark.NONE, marks == Mark.ARROW
    n = marks.shape[0]
    # onward[b][a]: where a path that came from a to b may go.
    onward = [
        rows(linked[b] & ~np.eye(n, dtype=bool) & (linked | np.outer(arrow[:, b], arrow[:, b])))
        for b in range(n)
    ]
    possible = np.zeros((n, n), dtype=bool)
    for start in range(n):
        front = [(start, int(each)) for each in np.flatnonzero(linked[start])]
        seen = set(front)
        while front:
            before, here = front.pop()
            possible[start, here] = True
            further = {(here, each) for each in members(onward[here][before])} - seen
            seen |= further
            front.extend(further)
    np.fill_diagonal(possible, val=False)
    return possible
