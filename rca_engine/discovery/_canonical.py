# SPDX-License-Identifier: Apache-2.0
"""One order of the columns that depends on nothing but their values.

Discovery that breaks ties by position, or starts a network from random numbers given out by
position, answers differently when columns are permuted (a renamed component is sorted elsewhere).
In this order it cannot.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rca_engine.discovery.graph import CausalGraph
from rca_engine.methods._scores import Floats, Ints


def canonical_order(values: Floats) -> Ints:
    """Return the columns of ``values`` (steps, metrics) in order of their first value, then second.

    Equal columns are interchangeable, so that their order means nothing.
    """
    order: Ints = np.lexsort(values[::-1])
    return order


def in_canonical_order(values: Floats, discover: Callable[[Floats], CausalGraph]) -> CausalGraph:
    """Run a discovery on the columns in canonical order, and return its graph in the given order.

    Parameters
    ----------
    values
        Shape (steps, metrics).
    discover
        From (steps, metrics) to a graph over the metrics.
    """
    order = canonical_order(values)
    graph = discover(np.ascontiguousarray(values[:, order]))
    back = np.argsort(order)
    weights = None if graph.weights is None else graph.weights[np.ix_(back, back)]
    return CausalGraph(graph.marks[np.ix_(back, back)], weights)
