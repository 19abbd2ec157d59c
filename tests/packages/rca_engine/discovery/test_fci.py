# SPDX-License-Identifier: Apache-2.0
"""FCI: what it says where a common cause is hidden, against correlations known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine.discovery import _pag, fci
from rca_engine.discovery.graph import Mark


def exact(effects, shown, steps):
    """Return metrics whose sample correlations are those that the effects make."""
    size = effects.shape[0]
    reach = np.linalg.inv(np.eye(size) - effects)
    covariance = (reach.T @ reach)[np.ix_(shown, shown)]
    rows = 4 * size
    noise = np.random.default_rng(0).normal(size=(rows, size))
    level = np.ones((rows, 1))
    white = np.linalg.qr(np.column_stack([level, noise]))[0][:, 1 : len(shown) + 1]
    few = white @ np.linalg.cholesky(covariance).T
    return np.tile(few, (steps // rows, 1))


@pytest.mark.parametrize("seed", range(8))
def test_every_arrow_and_tail_is_true_whatever_is_hidden(seed):
    rng = np.random.default_rng(seed)
    size, steps = 12, 500_000
    present = np.triu(rng.random((size, size)) < 0.25, 1)
    effects = present * rng.uniform(0.5, 1.2, (size, size)) * rng.choice([-1, 1], (size, size))
    shown = rng.permutation(size)[:9]
    marks = fci.discover(exact(effects, shown, steps), alpha=0.3, max_order=7).marks
    ancestor = np.linalg.matrix_power(np.eye(size) + present, size)[np.ix_(shown, shown)] > 0
    assert not (marks == Mark.ARROW)[ancestor.T].any()
    assert not ((marks == Mark.TAIL) & ~ancestor.T).any()


def test_a_hidden_common_cause_is_no_cause_either_way():
    rng = np.random.default_rng(0)
    hidden, w, x, y, z = rng.normal(size=(5, 5000))
    x += w + hidden
    y += z + hidden
    graph = fci.discover(np.stack([w, x, y, z], axis=1), alpha=0.001)
    assert graph.marks[1, 2] == graph.marks[2, 1] == Mark.ARROW
    assert not graph.causes()[1, 2]
    assert not graph.causes()[2, 1]
    assert graph.causes()[0, 1]


def marks_of(size, *ends):
    """Return marks from (i, mark at i, mark at j, j)."""
    marks = np.zeros((size, size), dtype=np.int8)
    for i, at_i, at_j, j in ends:
        marks[j, i], marks[i, j] = at_i, at_j
    return marks


def test_an_uncovered_path_points_what_would_else_close_a_cycle():
    circle, arrow = Mark.CIRCLE, Mark.ARROW
    # a o-> c, and a o-o b o-o e o-> c with b and c, a and e apart.
    marks = marks_of(
        4, (0, circle, arrow, 1), (0, circle, circle, 2), (2, circle, circle, 3),
        (3, circle, arrow, 1),
    )  # fmt: skip
    closed = _pag.close(marks, np.zeros((4, 4, 4), dtype=bool))
    assert closed[1, 0] == Mark.TAIL
