# SPDX-License-Identifier: Apache-2.0
"""CIRCA's structural graph: which metric may cause which, from the topology and their meaning.

Source: Li et al., KDD 2022, section 3.2: metrics are mapped to the golden signals of their
component, and the links between those are known. Here, with the facts of the metric table:

- traffic: a rate of requests or tokens that is good in neither direction; it drives all else of its
  component, and the traffic of what the component calls.
- saturation: every internal metric; it drives the outcome of its component.
- outcome: what a caller sees (external, with a good direction): latency, errors, availability; it
  drives the outcome of the callers. Of a callee that has the same metric only that one counts: a
  p90 follows from p90s.
- A machine's saturation drives the saturation and the outcome of what runs on it, and is driven by
  the traffic of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

import numpy as np

from rca_engine.methods._scores import Mask
from rca_engine.model import Metric, Topology

_REQUESTS = {"1/s", "tokens/s"}


class Signal(Enum):
    """What a metric says of its component."""

    TRAFFIC = "traffic"
    SATURATION = "saturation"
    OUTCOME = "outcome"


def signal_of(metric: Metric) -> Signal:
    """Return what a metric says, by its scope, direction, kind and unit, not by its name."""
    if metric.scope == "external":
        return Signal.TRAFFIC if metric.direction == "both" else Signal.OUTCOME
    load = metric.kind == "rate" and metric.direction == "both" and metric.unit in _REQUESTS
    return Signal.TRAFFIC if load else Signal.SATURATION


def structural_causes(
    components: Sequence[str], metrics: Sequence[Metric], topology: Topology
) -> Mask:
    """Return where ``i`` may be a direct cause of ``j``, shape (n, n).

    Parameters
    ----------
    components, metrics
        Of each of the n series.
    topology
        Its ``calls`` and ``runs_on`` edges are used.
    """
    names = np.array(components)
    signals = [signal_of(each) for each in metrics]
    traffic, saturation, outcome = (
        np.array([each is signal for each in signals], dtype=bool) for signal in Signal
    )
    same = names[:, None] == names[None, :]
    calls = _linked(
        names, ((edge.source, edge.target) for edge in topology.edges if edge.type == "calls")
    )
    runs_on = _linked(
        names, ((edge.source, edge.target) for edge in topology.edges if edge.type == "runs_on")
    )
    own = same & ((traffic[:, None] & ~traffic[None, :]) | (saturation[:, None] & outcome[None, :]))
    down = calls & traffic[:, None] & traffic[None, :]
    up = calls.T & outcome[:, None] & outcome[None, :]
    load = runs_on & traffic[:, None] & saturation[None, :]
    machine = runs_on.T & saturation[:, None] & ~traffic[None, :]
    causes: Mask = own | down | _alike_first(up, names, metrics) | load | machine
    return causes


def has_structure(components: Iterable[str], topology: Topology) -> bool:
    """Return whether the topology links any two of these components by a call."""
    known = set(components)
    return any(
        edge.type == "calls" and {edge.source, edge.target} <= known for edge in topology.edges
    )


def _linked(names: np.ndarray, pairs: Iterable[tuple[str, str]]) -> Mask:
    """Return where the component of ``i`` and that of ``j`` are one of the pairs, shape (n, n)."""
    unique, place = np.unique(names, return_inverse=True)
    at = {name: index for index, name in enumerate(unique)}
    linked = np.zeros((unique.size, unique.size), dtype=bool)
    for source, target in pairs:
        if source in at and target in at and source != target:
            linked[at[source], at[target]] = True
    of_series: Mask = linked[np.ix_(place, place)]
    return of_series


def _alike_first(causes: Mask, names: np.ndarray, metrics: Sequence[Metric]) -> Mask:
    """Keep, of a component's metrics that cause ``j``, only the one named as ``j`` if it exists."""
    kind = np.array([each.name for each in metrics])
    alike = causes & (kind[:, None] == kind[None, :])
    _, group = np.unique(names, return_inverse=True)
    member = np.eye(group.max() + 1, dtype=np.int64)[group]
    has_alike = (member.T @ alike.astype(np.int64)) > 0
    kept: Mask = alike | (causes & ~has_alike[group])
    return kept
