# SPDX-License-Identifier: Apache-2.0
"""The lab's components and where they run, as the Kubernetes API and KubeRay's labels say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rca_engine.errors import TelemetryError
from rca_engine.model import Component, Edge, Topology
from rca_engine.telemetry.kubernetes_api import Lister, Source
from rca_engine.telemetry.placement import Placement, Rule, component_of, gpu_id

_GROUP, _INDEX = "ray.io/group", "ray.io/worker-group-replica-index"
_GPUS = "nvidia.com/gpu"
DEFAULT_RULES = (
    Rule("head/ray", {"ray.io/node-type": "head"}),
    Rule(f"replica/llm-{{{_INDEX}}}", {"ray.io/node-type": "worker"}),
    Rule("gateway/nginx", {"app.kubernetes.io/component": "gateway"}),
)
"""What pods are by the labels that KubeRay, and the lab's gateway, give them."""
_WORKER = Rule("replica", {"ray.io/node-type": "worker"})


@dataclass(frozen=True)
class Lab:
    """Components, their edges, and the labels that lead to them."""

    topology: Topology
    placement: Placement
    warnings: tuple[str, ...] = ()


def read_lab(source: Source, lister: Lister) -> Lab:
    """Read nodes and the namespace's pods, and say what each pod is.

    A replica is a slot of its worker group, which a restarted pod takes again: KubeRay labels it.
    Without that label slots go by the age of the pods, and a warning says so.

    Raises
    ------
    TelemetryError
        If the API refuses, no pod is a component, or pods of two worker groups share a slot.
    """
    nodes = lister.items("/api/v1/nodes")
    pods = lister.items(f"/api/v1/namespaces/{source.namespace}/pods")
    rules = tuple(Rule(component, labels) for component, labels in source.components)
    placed, warnings = _placed(pods, (*rules, *DEFAULT_RULES))
    if not placed:
        raise TelemetryError(
            f"namespace {source.namespace}: none of its {len(pods)} pods is a component; say which "
            f"labels make them one under `kubernetes.components`"
        )
    used = {pod["spec"].get("nodeName") for pod, _ in placed} - {None}
    machines = [node for node in nodes if node["metadata"]["name"] in used]
    return Lab(
        _topology(placed, machines),
        Placement(
            pods={pod["metadata"]["name"]: component for pod, component in placed},
            nodes=dict(pair for node in machines for pair in _names(node)),
            addresses={
                address: component
                for pod, component in placed
                if (address := pod.get("status", {}).get("podIP"))
            },
        ),
        (*lister.warnings, *warnings),
    )


def _placed(
    pods: Iterable[Mapping[str, Any]], rules: tuple[Rule, ...]
) -> tuple[list[tuple[Mapping[str, Any], str]], list[str]]:
    """Return (pod, component) of the pods that are one."""
    placed: list[tuple[Mapping[str, Any], str]] = []
    unnumbered: list[Mapping[str, Any]] = []
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for pod in sorted(pods, key=_age):
        labels = pod["metadata"].get("labels") or {}
        component = next(filter(None, (rule.of(labels) for rule in rules)), None)
        if component is not None:
            placed.append((pod, component))
            groups[component].add(labels.get(_GROUP, ""))
        elif _WORKER.of(labels):
            unnumbered.append(pod)
    shared = [f"{each} ({', '.join(sorted(of))})" for each, of in groups.items() if len(of) > 1]
    if shared:
        raise TelemetryError(
            f"pods of several worker groups are one component: {'; '.join(shared)}; "
            f"tell them apart under `kubernetes.components`"
        )
    free = (n for n in range(len(placed) + len(unnumbered)) if f"replica/llm-{n}" not in groups)
    placed += [(pod, f"replica/llm-{next(free)}") for pod in unnumbered]
    named = ", ".join(pod["metadata"]["name"] for pod in unnumbered)
    warnings = [f"without the label {_INDEX}, slots go by the age of the pods: {named}"]
    return placed, warnings if unnumbered else []


def _age(pod: Mapping[str, Any]) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]


def _names(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    name = node["metadata"]["name"]
    addresses = [each["address"] for each in node.get("status", {}).get("addresses", ())]
    return [(each, f"node/{name}") for each in dict.fromkeys([name, *addresses])]


def _topology(
    placed: Iterable[tuple[Mapping[str, Any], str]], machines: Iterable[Mapping[str, Any]]
) -> Topology:
    components: dict[str, Component] = {}
    edges: list[Edge] = []
    for pod, identity in placed:
        name, node = pod["metadata"]["name"], pod["spec"].get("nodeName")
        pods = [components[identity].labels["pod"]] if identity in components else []
        components[identity] = component_of(identity, {"pod": ",".join([*pods, name])})
        edges += [Edge(identity, f"node/{node}", "runs_on")] if node else []
    for machine in machines:
        name = machine["metadata"]["name"]
        components[f"node/{name}"] = component_of(f"node/{name}")
        count = int(machine.get("status", {}).get("capacity", {}).get(_GPUS, 0))
        for number in range(count):
            gpu = gpu_id(f"node/{name}", str(number))
            components[gpu] = component_of(gpu)
            edges.append(Edge(gpu, f"node/{name}", "part_of"))
    return with_service(components, edges)


def with_service(components: Mapping[str, Component], edges: Iterable[Edge]) -> Topology:
    """Return a topology with the client, the service, and the path of a request."""
    known = {
        **components,
        **{each: component_of(each) for each in ("client/loadgen", "service/llm")},
    }

    def of(kind: str) -> list[str]:
        return sorted(each for each, component in known.items() if component.kind == kind)

    # A lab without a gateway, or without a head, has the path that is left.
    path = [kind for kind in ("client", "gateway", "head", "replica") if of(kind)]
    calls = [
        Edge(caller, callee, "calls")
        for kinds in pairwise(path)
        for caller in of(kinds[0])
        for callee in of(kinds[1])
    ]
    parts = [Edge(replica, "service/llm", "part_of") for replica in of("replica")]
    return Topology(
        tuple(known[each] for each in sorted(known)),
        tuple(dict.fromkeys([*calls, *edges, *parts])),
    )
