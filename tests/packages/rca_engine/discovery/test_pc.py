# SPDX-License-Identifier: Apache-2.0
"""PC: which links it may point, and which not."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine.discovery import pc
from rca_engine.discovery.orientation import close


def links(size, *pairs):
    mask = np.zeros((size, size), dtype=bool)
    for i, j in pairs:
        mask[i, j] = True
    return mask


@pytest.mark.parametrize(
    ("directed", "undirected", "implied"),
    [
        ([(0, 1)], [(1, 2)], (1, 2)),
        ([(0, 1), (1, 2)], [(0, 2)], (0, 2)),
        ([(2, 1), (3, 1)], [(0, 1), (0, 2), (0, 3)], (0, 1)),
        ([(2, 3), (3, 1)], [(0, 1), (0, 2), (0, 3)], (0, 1)),
    ],
    ids=["rule 1", "rule 2", "rule 3", "rule 4"],
)
def test_meeks_rules_point_a_link(directed, undirected, implied):
    known = links(4, *directed)
    adjacent = known | known.T | links(4, *undirected) | links(4, *undirected).T
    closed = close(adjacent, known)
    assert closed[implied]
    assert not closed.T[implied]


def test_a_chain_stays_undirected():
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=(3000, 3)), axis=1)
    causes = pc.discover(values, alpha=0.001).causes()
    assert (causes == links(3, (0, 1), (1, 0), (1, 2), (2, 1))).all()


@pytest.mark.parametrize("seed", range(5))
def test_no_true_cause_is_denied_where_the_data_are_plenty(linear, seed):
    made = linear(seed, 12, 2, 20000)
    causes = pc.discover(made.values, alpha=0.001, max_order=10).causes()
    assert (causes >= (made.effects != 0)).all()
