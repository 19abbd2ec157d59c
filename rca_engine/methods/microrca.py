# SPDX-License-Identifier: Apache-2.0
"""MicroRCA: a personalised PageRank over the part of the attributed graph that is anomalous.

Section IV of the paper. The graph has services and what they run on. Of it remain the services
whose response is anomalous, with all their neighbours, and the edges between the two, weighted:

- to an anomalous service: ``alpha``;
- from an anomalous service to a normal one, and to it from a normal caller: the correlation of the
  two responses;
- from an anomalous service to its host: the mean weight of the edges into the service, times the
  strongest correlation of its response with one of the host's metrics.

The walk restarts at the anomalous services, in proportion to the mean weight of their edges to and
from other services times the strongest correlation of their response with one of their own internal
metrics.

Departures from the paper: what is anomalous is decided by a lasting departure from the normal
windows and not by BIRCH clusters, whose threshold, on a series normalised to length 1, depends on
how long that is. Responses belong to components, not to single calls. A component without internal
metrics counts as correlated fully: its absence tells nothing. The walk goes from callers to
callees and hosts, the way that a cause is looked for; the authors' program turns the calls round
(and, by a stale variable, the hosts too), so that it drifts to the front end. As in the paper hosts
take part in the walk and are not ranked. Without an anomalous component there is no fault.
"""

from __future__ import annotations

import numpy as np

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._responses import Responses, correlations, ranked, responses
from rca_engine.methods._scores import Floats, Mask
from rca_engine.methods._topology import Graph, entry, graph_of, observe, personalised_pagerank
from rca_engine.methods._windows import WindowOptions, Windows
from rca_engine.ranking import Context, Ranking


@method(
    "microrca",
    sources={"metrics"},
    paper="Wu, Tordsson, Elmroth, Kao, MicroRCA: Root Cause Localization of Performance Issues in "
    "Microservices, NOMS 2020",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
    damping: float = 0.85,
    alpha: float = 0.55,
) -> Ranking:
    """Rank components by a personalised PageRank over the anomalous part of the topology.

    Parameters
    ----------
    guard_s, horizon_s
        See :class:`rca_engine.methods._windows.WindowOptions`.
    damping
        Probability of a step rather than a restart, from 0 to below 1.
    alpha
        Weight of an edge to an anomalous component, above 0 and at most 1.

    Raises
    ------
    MethodError
        If there is no topology or no alert in it, a window is too short or an option out of range.
    """
    if not (0.0 <= damping < 1.0 and 0.0 < alpha <= 1.0):
        raise MethodError(
            f"damping must be from 0 to below 1 and alpha above 0 and at most 1, "
            f"got {damping} and {alpha}"
        )
    graph = graph_of(case, "microrca")
    entry(graph.components, context, "microrca")
    data = observe(case, context, WindowOptions(guard_s, horizon_s))
    found = responses(graph.components, data, context, case.step_s)
    serving = (graph.calls.any(axis=0) | graph.calls.any(axis=1)) & (found.column >= 0)
    anomalous = found.unusual & serving
    if not anomalous.any():
        return Ranking((), time_ns=data.start_ns)
    weights = call_weights(graph.calls, anomalous, _similarities(found), alpha)
    score = np.where(anomalous, _mean_weight(weights) * _own_resources(found, data), 0.0)
    weights = weights + _host_weights(graph, anomalous, weights, found, data)
    inside = anomalous | (weights > 0).any(axis=0) | (weights > 0).any(axis=1)
    scores = np.zeros(inside.size)
    scores[inside] = personalised_pagerank(weights[np.ix_(inside, inside)], score[inside], damping)
    return Ranking(ranked(scores, serving & (scores > 0), found, data), time_ns=data.start_ns)


def call_weights(calls: Mask, anomalous: Mask, similarity: Floats, alpha: float) -> Floats:
    """Return the weights of the calls of the anomalous part of the graph (section IV.B).

    Parameters
    ----------
    calls
        Shape (n, n): whether the row's component calls the column's.
    anomalous
        Shape (n,).
    similarity
        Shape (n, n): absolute correlation of the responses.
    alpha
        Weight of an edge to an anomalous component.

    Returns
    -------
    Floats
        Shape (n, n).
    """
    into = np.where(anomalous, alpha, similarity)
    touching = anomalous[:, None] | anomalous[None, :]
    return np.where(calls & touching, into, 0.0)


def _similarities(found: Responses) -> Floats:
    columns = [found.similarity(index) for index in range(len(found.components))]
    return np.stack(columns, axis=1)


def _mean_weight(weights: Floats) -> Floats:
    """Return the mean weight of each component's edges, in and out; 1 if it has none."""
    edges = (weights > 0).sum(axis=0) + (weights > 0).sum(axis=1)
    total = weights.sum(axis=0) + weights.sum(axis=1)
    mean: Floats = np.divide(total, edges, out=np.ones_like(total), where=edges > 0)
    return mean


def _own_resources(found: Responses, data: Windows) -> Floats:
    """Return how well one of each component's internal metrics explains its response."""
    internal: dict[str, list[int]] = {component: [] for component in found.components}
    for column, ((component, _), metric) in enumerate(zip(data.keys, data.metrics, strict=True)):
        if metric.scope == "internal" and component in internal:
            internal[component].append(column)
    strongest = np.ones(len(found.components))
    for index, component in enumerate(found.components):
        columns = [each for each in internal[component] if each != found.column[index]]
        if columns:
            own = data.values[found.around][:, columns]
            strongest[index] = np.abs(correlations(own, found.series[:, index])).max()
    return strongest


def _host_weights(
    graph: Graph, anomalous: Mask, calls: Floats, found: Responses, data: Windows
) -> Floats:
    """Return the weights of the edges from anomalous components to what they run on."""
    called = (calls > 0).sum(axis=0)
    into = np.divide(calls.sum(axis=0), called, out=np.ones(called.size), where=called > 0)
    columns: dict[str, list[int]] = {component: [] for component in graph.components}
    for column, (component, _) in enumerate(data.keys):
        if component in columns:
            columns[component].append(column)
    weights = np.zeros(calls.shape)
    for service, host in np.argwhere(graph.hosted & anomalous[:, None]):
        resources = data.values[found.around][:, columns[graph.components[host]]]
        if resources.shape[1]:
            strongest = np.abs(correlations(resources, found.series[:, service])).max()
            weights[service, host] = into[service] * strongest
    return weights
