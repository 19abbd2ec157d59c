# SPDX-License-Identifier: Apache-2.0
"""Everything that a cluster's sources know of a window, placed on its components."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rca_engine.model import NS, Component, Edge, Topology, Window
from rca_engine.telemetry import deepflow, kubernetes_events, loki, tempo
from rca_engine.telemetry.derive import PARTS, rate_window_s
from rca_engine.telemetry.http import Connection, Deadline, Progress, silent
from rca_engine.telemetry.kubernetes_api import Lister, connect
from rca_engine.telemetry.kubernetes_topology import Lab, read_lab, with_service
from rca_engine.telemetry.placement import Placement, Relabeller, component_of
from rca_engine.telemetry.prometheus import Fetched, Selection, fetch
from rca_engine.telemetry.samples import Samples
from rca_engine.telemetry.settings import Cluster
from rca_engine.telemetry.source import Gathered, unplaced

_OF_CONTAINERS = 'container!="",container!="POD"'
"""cAdvisor also shows each pod's sum, which would count everything twice."""
_WHOLE_PODS = ("container_network_",)
"""What containers of a pod share: only the pod's sum has it."""


@dataclass(frozen=True)
class Harvested:
    """What a cluster's sources gave.

    Parameters
    ----------
    fetched
        From Prometheus.
    gathered
        From the other sources, by their name.
    topology
        Components and edges, as far as any source knows them.
    """

    fetched: Fetched
    gathered: Mapping[str, Gathered]
    topology: Topology


def gather(
    cluster: Cluster,
    metrics: Mapping[str, Mapping[str, Any]],
    window: Window,
    progress: Progress = silent,
) -> Harvested:
    """Fetch from every source of the settings.

    Raises
    ------
    TelemetryError
        If a source can't be reached, refuses, or the deadline of all of them passes.
    """
    deadline = Deadline(cluster.deadline_s)
    with contextlib.ExitStack() as stack:
        api = None
        if cluster.kubernetes is not None:
            api = stack.enter_context(connect(cluster.kubernetes, deadline))
        lab = _lab(cluster, api)
        progress("Prometheus: which pods there were")
        placement = _learned(cluster, lab.placement, window, deadline).with_rules(cluster.rules)
        fetched = _samples(cluster, placement, metrics, window, deadline, progress)
        gathered = dict(_others(cluster, placement, window, deadline, progress, api))
    if api is not None and not (cluster.kubernetes and cluster.kubernetes.events):
        gathered["kubernetes"] = Gathered("events", (), tuple(api.asked))
    if lab.warnings:
        events = gathered["kubernetes"]
        gathered["kubernetes"] = replace(events, warnings=(*lab.warnings, *events.warnings))
    topology = _complete(lab.topology, fetched.samples, placement, gathered)
    return Harvested(fetched, gathered, topology)


def addresses(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Say where the sources beside Prometheus are, and what they are asked."""
    told: dict[str, dict[str, Any]] = {}
    if cluster.loki is not None:
        told["loki"] = {"url": cluster.loki.endpoint.url, "query": cluster.loki.query}
    if cluster.tempo is not None:
        told["tempo"] = {"url": cluster.tempo.endpoint.url, "query": cluster.tempo.query}
    if cluster.deepflow is not None:
        told["deepflow"] = {"url": cluster.deepflow.endpoint.url, "where": cluster.deepflow.where}
    if cluster.kubernetes is not None:
        told["kubernetes"] = {
            "namespace": cluster.namespace,
            "context": cluster.kubernetes.context,
        }
    return told


def _lab(cluster: Cluster, api: Connection | None) -> Lab:
    if api is None or cluster.kubernetes is None:
        return Lab(Topology((), ()), Placement())
    return read_lab(cluster.kubernetes, Lister(api))


def _learned(
    cluster: Cluster, placement: Placement, window: Window, deadline: Deadline
) -> Placement:
    """Return the placement with the pods that were relabelled when they were scraped.

    The API knows only pods that are there now; what a scrape said of one that a fault killed
    places its logs, spans and events too.
    """
    matchers = f'namespace="{cluster.namespace}",pod!="",component!=""'
    seen = fetch(
        cluster.prometheus,
        [Selection(None, ("up",), matchers)],
        window,
        deadline_s=deadline.left_s,
    )
    pods = {
        labels["pod"]: labels["component"]
        for labels in seen.samples.labels
        if "/" in labels["component"]
    }
    return replace(placement, pods={**pods, **placement.pods})


def _samples(
    cluster: Cluster,
    placement: Placement,
    metrics: Mapping[str, Mapping[str, Any]],
    window: Window,
    deadline: Deadline,
    progress: Progress,
) -> Fetched:
    relabel = Relabeller(placement)
    # Rates at the window's start need what was scraped before it.
    slowest_s = max([cluster.scrape_interval_s, *cluster.intervals_s.values()])
    look_back_s = rate_window_s(slowest_s)
    before = Window(window.start_ns - round(look_back_s * NS), window.end_ns)
    fetched = fetch(
        cluster.prometheus,
        list(selections(cluster, metrics)),
        before,
        deadline_s=deadline.left_s,
        relabel=relabel,
        progress=progress,
    )
    warnings = (*fetched.warnings, *unplaced("series", relabel.strangers()))
    return replace(fetched, warnings=warnings)


def selections(cluster: Cluster, metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Selection]:
    """Yield what to ask Prometheus for: per job the names, and the matchers that find them."""
    names: defaultdict[str | None, set[str]] = defaultdict(set)
    for entry in metrics.values():
        for part in PARTS:
            names[entry["source"].get("job")].update(entry["source"].get(part, ()))
    for job in sorted(names, key=lambda each: each or ""):
        wanted = names[job]
        if not wanted:
            continue
        whole = {name for name in wanted if name.startswith(_WHOLE_PODS)} if job == "pod" else set()
        for group, more in ((wanted - whole, _OF_CONTAINERS if job == "pod" else ""), (whole, "")):
            if group:
                matchers = cluster.jobs.get(job or "", _matchers(job, cluster.namespace))
                joined = ",".join(each for each in (matchers, more) if each)
                yield Selection(job, tuple(sorted(group)), joined)


def _matchers(job: str | None, namespace: str) -> str:
    """Return the matchers that find a job's series on a cluster as kube-prometheus scrapes it."""
    of_machines = job in (None, "node", "dcgm", "cilium")
    if job == "istio":
        return f'destination_workload_namespace="{namespace}"'
    return "" if of_machines else f'namespace="{namespace}"'


def _others(
    cluster: Cluster,
    placement: Placement,
    window: Window,
    deadline: Deadline,
    progress: Progress,
    api: Connection | None,
) -> Iterator[tuple[str, Gathered]]:
    def ask(gather: Callable[..., Gathered], source: Any) -> Gathered:
        return gather(source, placement, window, deadline_s=deadline.left_s, progress=progress)

    if cluster.loki is not None:
        yield "loki", ask(loki.gather, cluster.loki)
    if cluster.tempo is not None:
        yield "tempo", ask(tempo.gather, cluster.tempo)
    if cluster.deepflow is not None:
        yield "deepflow", ask(deepflow.gather, cluster.deepflow)
    if api is not None and cluster.kubernetes is not None and cluster.kubernetes.events:
        progress("Kubernetes: events")
        yield "kubernetes", kubernetes_events.gather(api, cluster.namespace, placement, window)


def _complete(
    topology: Topology,
    samples: Samples,
    placement: Placement,
    gathered: Mapping[str, Gathered],
) -> Topology:
    """Add what only telemetry knows: devices and links that were scraped, calls that were seen."""
    components = {each.id: each for each in topology.components}
    edges = list(topology.edges)
    for index in range(len(samples)):
        labels, identity = samples.labels[index], samples.component(index)
        if identity is None:
            continue
        components.setdefault(identity, component_of(identity))
        if identity.startswith("gpu/"):
            edges += _of_gpu(identity, labels, placement)
    for each in gathered.values():
        for caller, callee in sorted(each.calls):
            edges.append(Edge(caller, callee, "calls"))
            for end in (caller, callee):
                components.setdefault(end, component_of(end))
    whole = with_service(components, ())
    known: Mapping[str, Component] = {each.id: each for each in whole.components}
    return Topology(
        whole.components,
        tuple(
            dict.fromkeys(
                edge
                for edge in (*whole.edges, *edges)
                if edge.source in known and edge.target in known
            )
        ),
    )


def _of_gpu(identity: str, labels: Mapping[str, str], placement: Placement) -> Iterator[Edge]:
    """Yield where a device is and who uses it, as the labels of its exporter say."""
    node, user = placement.node(labels), placement.of({**labels, "component": ""})
    if node is not None:
        yield Edge(identity, node, "part_of")
    if user is not None and not user.startswith("gpu/"):
        yield Edge(user, identity, "runs_on")
