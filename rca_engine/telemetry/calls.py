# SPDX-License-Identifier: Apache-2.0
"""Calls seen on the wire, linked to traces.

A call is seen where it leaves and where it arrives: both sides share the connection and the TCP
sequence of the request. A call that arrived is the cause of those that its component made while it
lasted: by the thread that handled both, a request id passed on, or the same trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rca_engine.telemetry.spans import Span

_POINTS = ("s-p", "c-p", "s", "c")
"""Nearest to the process first; what is farther tells less of the component."""


@dataclass(frozen=True)
class Call:
    """One call as seen at one point.

    Parameters
    ----------
    identity
        Unique number.
    component
        Whose point it is: the server's if ``at_server``, else the client's.
    point
        Where on the way it was seen; those that end in ``app`` are spans of a tracer.
    connection, sequence
        Of the request on the wire; sequence 0 if unknown.
    thread
        Number that calls handled by one thread share; 0 if unknown.
    trace_id, span_id, parent_span_id
        What a header, or the tracer, says; empty if nothing.
    request_ids
        Ids that proxies passed on.
    """

    identity: int
    component: str
    point: str
    at_server: bool
    name: str
    start_ns: int
    duration_ns: int
    status: str
    connection: Hashable
    sequence: int
    thread: int
    trace_id: str
    span_id: str
    parent_span_id: str
    request_ids: frozenset[str]
    attributes: Mapping[str, Any]

    @property
    def traced(self) -> bool:
        """Whether a tracer wrote it, with a span id of its own."""
        return self.point.endswith("app") and bool(self.span_id)

    @property
    def own_id(self) -> str:
        """Its span id: the tracer's, else one made of its number, which headers share."""
        return self.span_id if self.traced else f"{self.identity:016x}"


def spans_of(calls: Iterable[Call]) -> list[Span]:
    """Return the spans of calls; of several points of one side only the nearest."""
    kept = sorted(_nearest(calls), key=lambda call: (call.start_ns, call.identity))
    parents = _parents(kept)
    traces = _traces(kept, parents)
    return [
        Span(
            trace_id=traces[call.identity],
            span_id=call.own_id,
            parent_span_id=(
                parent.own_id
                if (parent := parents.get(call.identity)) is not None
                else (call.parent_span_id or None if call.traced else None)
            ),
            component=call.component,
            name=call.name,
            kind="server" if call.at_server else "client",
            start_ns=call.start_ns,
            duration_ns=max(call.duration_ns, 0),
            status=call.status,
            attributes=call.attributes,
        )
        for call in kept
    ]


def _nearest(calls: Iterable[Call]) -> list[Call]:
    best: dict[Hashable, Call] = {}
    for call in calls:
        key: Hashable = call.identity
        if call.sequence and not call.traced:
            key = (call.connection, call.sequence, call.at_server)
        if key not in best or _rank(call) < _rank(best[key]):
            best[key] = call
    return list(best.values())


def _rank(call: Call) -> tuple[int, int]:
    point = _POINTS.index(call.point) if call.point in _POINTS else len(_POINTS)
    return point, call.identity


def _parents(calls: Sequence[Call]) -> dict[int, Call]:
    """Return the call above each that has one."""
    leaving = {
        (call.connection, call.sequence): call
        for call in calls
        if call.sequence and not call.at_server and not call.traced
    }
    tracers = {(call.trace_id, call.span_id): call for call in calls if call.traced}
    arrived: defaultdict[Hashable, list[Call]] = defaultdict(list)
    for call in calls:
        if call.at_server:
            for key in _causes(call):
                arrived[key].append(call)
    parents: dict[int, Call] = {}
    for call in calls:
        above: Call | None = None
        if call.traced:
            above = tracers.get((call.trace_id, call.parent_span_id))
        elif call.at_server:
            above = leaving.get((call.connection, call.sequence)) if call.sequence else None
        else:
            above = tracers.get((call.trace_id, call.span_id)) if call.trace_id else None
            above = above or _cause(call, arrived)
        if above is not None and above.identity != call.identity:
            parents[call.identity] = above
    return parents


def _causes(call: Call) -> list[Hashable]:
    """Return what a call and those that it caused have in common, the surest first."""
    keys: list[Hashable] = []
    if call.thread:
        keys.append((call.component, "thread", call.thread))
    keys += [(call.component, "request", each) for each in sorted(call.request_ids)]
    if call.trace_id:
        keys.append((call.component, "trace", call.trace_id))
    return keys


def _cause(call: Call, arrived: Mapping[Hashable, list[Call]]) -> Call | None:
    """Return the latest call that had arrived at the caller and lasted while it called."""
    for key in _causes(call):
        around = [
            each
            for each in arrived.get(key, ())
            if each.start_ns <= call.start_ns <= each.start_ns + each.duration_ns
        ]
        if around:
            return max(around, key=lambda each: (each.start_ns, each.identity))
    return None


def _traces(calls: Sequence[Call], parents: Mapping[int, Call]) -> dict[int, str]:
    """Return the trace of each call: what any call of its tree says, else one made of its root."""
    roots: dict[int, int] = {}
    for call in calls:
        way, here = [call.identity], call.identity
        while here in parents and here not in roots:
            here = parents[here].identity
            if here in way:  # two that each say that the other is above it
                break
            way.append(here)
        root = roots.get(here, here)
        roots |= dict.fromkeys(way, root)
    said: defaultdict[int, set[str]] = defaultdict(set)
    for call in calls:
        if call.trace_id:
            said[roots[call.identity]].add(call.trace_id)
    return {
        call.identity: call.trace_id
        or min(said[roots[call.identity]], default=f"{roots[call.identity]:032x}")
        for call in calls
    }
