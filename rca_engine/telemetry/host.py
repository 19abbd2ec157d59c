# SPDX-License-Identifier: Apache-2.0
"""What the lab on one machine knows of itself: its pods, and what its Prometheus scraped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rca_engine import schemas
from rca_engine.errors import CaseError, TelemetryError
from rca_engine.model import NS, Component, Edge, Topology, Window
from rca_engine.telemetry.client import CLIENT
from rca_engine.telemetry.derive import PARTS, rate_window_s
from rca_engine.telemetry.http import Progress, silent
from rca_engine.telemetry.prometheus import Fetched, Selection, fetch
from rca_engine.telemetry.samples import Samples


def read_pods(path: Path) -> dict[str, Any]:
    """Read the lab's ``pods.json``.

    Raises
    ------
    CaseError
        If it is absent or not of format 1.
    """
    pods = schemas.read_json(path)
    if pods.get("format") != 1 or pods.get("isolation") not in ("netns", "none"):
        raise CaseError(f"{path}: not a pods.json of format 1")
    listed = pods.get("pods")
    if not isinstance(listed, list) or not all(
        isinstance(pod, dict)
        and "/" in str(pod.get("component"))
        and isinstance(pod.get("name"), str)
        for pod in listed
    ):
        raise CaseError(f"{path}: each pod needs a `name` and a `component` of the form kind/name")
    return pods


def fetch_samples(
    url: str,
    metrics: Mapping[str, Mapping[str, Any]],
    window: Window,
    *,
    scrape_interval_s: float,
    deadline_s: float,
    progress: Progress = silent,
) -> Fetched:
    """Fetch the raw samples that the vocabulary's metrics are made from.

    Raises
    ------
    TelemetryError
        If the server can't be reached, or has nothing for the window.
    """
    names: defaultdict[str | None, set[str]] = defaultdict(set)
    for entry in metrics.values():
        source = entry["source"]
        for part in PARTS:
            names[source.get("job")].update(source.get(part, ()))
    selections = [
        Selection(job, tuple(sorted(wanted)))
        for job, wanted in sorted(names.items(), key=lambda item: item[0] or "")
        if wanted
    ]
    # Rates at the window's start need what was scraped before it.
    before = Window(window.start_ns - round(rate_window_s(scrape_interval_s) * NS), window.end_ns)
    fetched = fetch(url, selections, before, deadline_s=deadline_s, progress=progress)
    if not len(fetched.samples):
        raise TelemetryError(
            f"{url}: Prometheus has no samples for the window; was the lab up "
            f"then, and does it scrape jobs {', '.join(sorted(job for job in names if job))}?"
        )
    return fetched


def topology_of(pods: Sequence[Mapping[str, Any]], samples: Samples) -> Topology:
    """Draw the lab: the call path, and everything on the one machine that Prometheus saw."""
    components = {pod["component"]: {"pod": pod["name"]} for pod in pods}
    seen = {samples.component(index) for index in range(len(samples))} - {None}
    for each in sorted(str(component) for component in seen):
        components.setdefault(each, {})
    components |= {CLIENT: {}, "service/llm": {}}

    def of(kind: str) -> list[str]:
        return sorted(each for each in components if each.split("/", 1)[0] == kind)

    path = (("client", "gateway"), ("gateway", "head"), ("head", "replica"))
    calls = [
        Edge(caller, callee, "calls")
        for kinds in path
        for caller in of(kinds[0])
        for callee in of(kinds[1])
    ]
    nodes = of("node")
    hosted = [pod["component"] for pod in pods] if len(nodes) == 1 else []
    return Topology(
        tuple(
            Component(kind, name, components[each])
            for each in sorted(components)
            for kind, name in [each.split("/", 1)]
        ),
        (
            *calls,
            *(Edge(pod, nodes[0], "runs_on") for pod in hosted),
            *(Edge(replica, "service/llm", "part_of") for replica in of("replica")),
        ),
    )
