# SPDX-License-Identifier: Apache-2.0
"""Events of a cluster (``events.k8s.io/v1``): what it did to the lab's pods, nodes and service.

The API keeps events for an hour: harvest while the run is fresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rca_engine.errors import TelemetryError
from rca_engine.model import Window
from rca_engine.telemetry.http import Connection
from rca_engine.telemetry.kubernetes_api import Lister
from rca_engine.telemetry.placement import SERVICE, Placement
from rca_engine.telemetry.source import Gathered, unplaced
from rcalab_common.times import parse_utc

_OF_SERVICE = {"RayService", "RayCluster", "RayJob", "Deployment", "ReplicaSet", "StatefulSet",
               "Service", "InferenceService", "LLMInferenceService"}  # fmt: skip
_OF_NODES = "default"
"""Nodes have no namespace: their events are in this one."""


def gather(
    connection: Connection, namespace: str, placement: Placement, window: Window
) -> Gathered:
    """Fetch the events of the lab's namespace, and of nodes, as rows of ``events``.

    An event that was seen again and again counts at its first and at its last time, each where it
    lies in the window.

    Raises
    ------
    TelemetryError
        If the API can't be reached or refuses.
    """
    lister, strangers = Lister(connection), Counter[str]()
    rows: list[tuple[Any, ...]] = []
    for space in dict.fromkeys((namespace, _OF_NODES)):
        for event in lister.items(f"/apis/events.k8s.io/v1/namespaces/{space}/events"):
            about = event.get("regarding") or {}
            if space != namespace and about.get("kind") != "Node":
                continue
            times = [each for each in _times(event) if window.start_ns <= each <= window.end_ns]
            if not times:
                continue
            component = _component(about, placement)
            if component is None:
                strangers[f"{about.get('kind', '?')} {about.get('name', '?')}"] += 1
                continue
            reason, text = str(event.get("reason") or ""), str(event.get("note") or "")
            rows += [(each, component, reason, _message(event, text)) for each in times]
    return Gathered(
        "events",
        rows,
        tuple(connection.asked),
        (*lister.warnings, *unplaced("events", strangers)),
    )


def _component(about: Mapping[str, Any], placement: Placement) -> str | None:
    kind, name = about.get("kind", ""), about.get("name", "")
    if kind == "Node":
        return placement.node({"node": name})
    placed = placement.of(
        {"pod": name, "kind": kind} if kind == "Pod" else {"kind": kind, kind: name}
    )
    return placed or (SERVICE if kind in _OF_SERVICE else None)


def _times(event: Mapping[str, Any]) -> Iterator[int]:
    """Yield when an event was first and last seen, once if that is one."""
    series = event.get("series") or {}
    first = event.get("eventTime") or event.get("deprecatedFirstTimestamp")
    last = series.get("lastObservedTime") or event.get("deprecatedLastTimestamp")
    made = event.get("metadata", {}).get("creationTimestamp")
    try:
        told = [parse_utc(each) for each in (first or last or made, last or first or made)]
    except (TypeError, ValueError) as error:
        name = event.get("metadata", {}).get("name", "?")
        raise TelemetryError(f"event {name}: its time can't be read: {error}") from None
    yield from dict.fromkeys(told)


def _message(event: Mapping[str, Any], text: str) -> str:
    series = event.get("series") or {}
    count = series.get("count") or event.get("deprecatedCount") or 1
    return f"{text} (seen {count} times)" if count > 1 else text
