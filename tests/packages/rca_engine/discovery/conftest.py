# SPDX-License-Identifier: Apache-2.0
"""Metrics whose causes are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Linear:
    """``values`` (steps, metrics) made by ``effects[i, j]``, the coefficient of ``i`` in ``j``."""

    values: np.ndarray
    effects: np.ndarray


@pytest.fixture
def linear():
    """Return a maker of random linear metrics whose columns are in no order of causes."""

    def make(
        seed: int, metrics: int, links: float, steps: int, *, gaussian: bool = True, hidden: int = 0
    ) -> Linear:
        rng = np.random.default_rng(seed)
        present = np.triu(rng.random((metrics, metrics)) < links / metrics, 1)
        signs = rng.choice([-1.0, 1.0], (metrics, metrics))
        effects = present * signs * rng.uniform(0.5, 1.2, (metrics, metrics))
        shape = (steps, metrics)
        values = rng.normal(size=shape) if gaussian else rng.uniform(-1, 1, size=shape)
        for j in range(metrics):
            values[:, j] += values @ effects[:, j]
        shown = rng.permutation(metrics)[: metrics - hidden]
        return Linear(values[:, shown], effects[np.ix_(shown, shown)])

    return make
