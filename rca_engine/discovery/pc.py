# SPDX-License-Identifier: Apache-2.0
"""The PC algorithm in its order-independent form: a CPDAG, no hidden common causes assumed.

Departures from Colombo and Maathuis (2014): ``max_order`` bounds the sets that are conditioned on;
of the separating sets the surest counts, and colliders that contradict each other are settled for
the surer separation, both in the manner of J. Ramsey's PC-Max (arXiv 1610.00378).
"""

from __future__ import annotations

from rca_engine.discovery import causal_learn
from rca_engine.discovery.causal_learn import Backend
from rca_engine.discovery.graph import CausalGraph
from rca_engine.discovery.independence import FisherZ
from rca_engine.discovery.orientation import close, directed_by_colliders
from rca_engine.discovery.skeleton import skeleton
from rca_engine.methods._scores import Floats


def discover(
    values: Floats, *, alpha: float = 0.05, max_order: int = 3, backend: Backend = "own"
) -> CausalGraph:
    """Discover the CPDAG of linear-Gaussian metrics.

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
        Directed and undirected links, no weights.

    Raises
    ------
    MethodError
        If an option is out of range, the steps are too few, or causal-learn is asked for and not
        installed or refuses the data.

    References
    ----------
    P. Spirtes, C. Glymour, R. Scheines, Causation, Prediction, and Search, 2000, section 5.4.2;
    D. Colombo, M. H. Maathuis, JMLR 15, 2014.
    """
    if causal_learn.chosen(backend):
        return causal_learn.pc(values, alpha)
    found = skeleton(FisherZ(values), alpha, max_order)
    directed = close(found.adjacent, directed_by_colliders(found))
    return CausalGraph.directed(directed | (found.adjacent & ~directed.T))
