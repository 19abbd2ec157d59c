# SPDX-License-Identifier: Apache-2.0
"""How to read a ranking from a causal graph: each head goes with every discovery.

A head gives each metric of the graph a score, 0 where the graph says nothing for it. All of them
walk from effects to causes, and none of them draws random numbers: what a long walk would show is
the solution of a linear system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np

from rca_engine.discovery.graph import CausalGraph
from rca_engine.errors import MethodError
from rca_engine.methods._scores import Floats, Mask

Jump = Literal["deviation", "uniform"]


@dataclass(frozen=True)
class Trouble:
    """What is to be explained.

    Parameters
    ----------
    start
        The metric that alerted, or that stands for it.
    relevance
        Shape (n,): absolute correlation of each metric with that one.
    deviation
        Shape (n,): how far each metric left its normal range.
    """

    start: int
    relevance: Floats
    deviation: Floats


class Head(Protocol):
    """A way to rank by a graph.

    ``from_alert`` says whether the start matters to it.
    """

    from_alert: ClassVar[bool]

    def scores(self, graph: CausalGraph, trouble: Trouble) -> Floats:
        """Return how suspect each metric of the graph is; shape (n,), at least 0."""
        ...


@dataclass(frozen=True)
class PageRank:
    """PageRank on the links from effect to cause, in proportion to their weights.

    Source: L. Page et al., The PageRank Citation Ranking, 1999; personalised as in T. H.
    Haveliwala, Topic-Sensitive PageRank, WWW 2002.

    Parameters
    ----------
    damping
        Share of steps that follow a link; the others jump.
    jump
        Where to: ``deviation`` for metrics in proportion to how far they deviate, for what is in
        trouble is what needs a cause; ``uniform`` for any metric, as in the paper.
    stay
        Whether a walk at a metric with effects stays there in proportion to how much weaker its
        causes are than the strongest link of the graph: without any it has found what it looked
        for. If not it jumps from there, as in the paper, and in A -> C <- B, C -> D the metric C,
        which gets the mass of D whole, outranks its causes, which share that of C.
    """

    from_alert: ClassVar[bool] = False
    damping: float = 0.85
    jump: Jump = "deviation"
    stay: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.damping < 1.0:
            raise MethodError(f"damping must be between 0 and 1, got {self.damping}")
        if self.jump not in get_args(Jump):
            raise MethodError(f"jump is one of {', '.join(get_args(Jump))}, not {self.jump!r}")

    def scores(self, graph: CausalGraph, trouble: Trouble) -> Floats:
        """Return each metric's share of the walk; see :class:`Head`."""
        causes = graph.causes()
        if not causes.any():
            return np.zeros(graph.size)
        strength: Floats = np.ones(causes.shape) if graph.weights is None else graph.weights
        weights: Floats = causes.T * strength.T
        if self.stay:
            unexplained = weights.max() - weights.max(axis=1)
            weights = weights + np.diag(np.where(causes.any(axis=1), unexplained, 0.0))
        enter = trouble.deviation if self.jump == "deviation" else np.ones(graph.size)
        # A walk that ends jumps like any other, which only scales what the others add up to.
        return _visits(weights, self.damping, enter)


@dataclass(frozen=True)
class RandomWalk:
    """A walk from the alert's metric towards its causes, by their correlation with it.

    From a metric it goes to a cause in proportion to the cause's relevance, back to an effect with
    ``backward`` of the effect's relevance, and stays in proportion to how much more relevant the
    metric is than any of its causes. Metrics that no link connects with the start get 0.

    Source: M. Kim, R. Sumbaly, S. Shah, Root Cause Detection in a Service-Oriented Architecture
    (MonitorRank), SIGMETRICS 2013, section 4.2; Y. Meng et al., MicroCause, IWQoS 2020, section IV.

    Parameters
    ----------
    backward
        MonitorRank's and MicroCause's rho.
    restart
        Share of steps that return to the start; it makes the walk's distribution the only one.
    """

    from_alert: ClassVar[bool] = True
    backward: float = 0.2
    restart: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 <= self.backward <= 1.0:
            raise MethodError(f"backward must be from 0 to 1, got {self.backward}")
        if not 0.0 < self.restart < 1.0:
            raise MethodError(f"restart must be between 0 and 1, got {self.restart}")

    def scores(self, graph: CausalGraph, trouble: Trouble) -> Floats:
        """Return each metric's share of the walk; see :class:`Head`."""
        causes, start, relevance = graph.causes(), trouble.start, trouble.relevance
        if not (causes[:, start].any() or causes[start].any()):
            return np.zeros(graph.size)
        forward = causes.T * relevance
        back = (causes & ~causes.T) * (self.backward * relevance)
        stay = np.maximum(relevance - forward.max(axis=1), 0.0)
        stay[start] = 0.0
        returns = np.zeros(graph.size)
        returns[start] = 1.0
        return _visits(forward + back + np.diag(stay), 1.0 - self.restart, returns)


@dataclass(frozen=True)
class DepthFirst:
    """A search from the alert's metric through causes of causes to those that have none.

    These come first (score 1 and more), then what lies on the way, both in order of relevance;
    metrics that the search does not reach get 0. Metrics in a cycle, or with undirected links, are
    one: they have a cause if something outside does.

    Source: J. Lin, P. Chen, Z. Zheng, Microscope, ICSOC 2018, section 3.4.
    """

    from_alert: ClassVar[bool] = True

    def scores(self, graph: CausalGraph, trouble: Trouble) -> Floats:
        """Return 1 for a root, plus the relevance of what is reached; see :class:`Head`."""
        leads = _closure(graph.causes().T)
        reached = leads[trouble.start]
        if not reached.any():
            return np.zeros(graph.size)
        # Whatever it leads to leads back: nothing outside its cycle causes it.
        root = (~leads | leads.T).all(axis=1)
        found: Floats = np.where(reached, root + trouble.relevance, 0.0)
        return found


def _visits(weights: Floats, follow: float, enter: Floats) -> Floats:
    """Return the share of steps that a walk spends on each metric.

    Parameters
    ----------
    weights
        Shape (n, n): of going from ``i`` to ``j``; rows need not add up to 1, and without any
        weight the walk ends there.
    follow
        Share of steps that follow the weights.
    enter
        Shape (n,): how often a walk begins at each metric, in any unit.
    """
    total = weights.sum(axis=1, keepdims=True)
    transition = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    visits = np.linalg.solve(np.eye(weights.shape[0]) - follow * transition.T, enter)
    shares: Floats = np.maximum(visits, 0.0) / visits.sum()
    return shares


def _closure(leads: Mask) -> Mask:
    """Return where one or more links lead from ``i`` to ``j``, which may be ``i`` itself."""
    while True:
        further = leads | ((leads.astype(np.float32) @ leads.astype(np.float32)) > 0.5)
        if (further == leads).all():
            return leads
        leads = further
