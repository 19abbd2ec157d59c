# SPDX-License-Identifier: Apache-2.0
"""Which component a label speaks of: by rules of the settings, else by pods and nodes.

A name is looked up, never taken apart: a pod is what the Kubernetes API, or a rule, says it is.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rca_engine.model import Component
from rca_engine.telemetry.prometheus import Labels

SERVICE = "service/llm"
_FIELD = re.compile(r"\{([^{}]+)\}")
_OF_POD = ("kube_pod_", "container_")
"""Series of the control plane that speak of one pod; its others speak of the service."""
_OF_MACHINES = ("node", "dcgm", "cilium")
_POD_LABELS = ("exported_pod", "pod", "k8s_pod_name", "k8s.pod.name")
_NODE_LABELS = ("node", "nodename", "kubernetes_node", "k8s.node.name", "hostname", "Hostname")
"""First the label of the thing spoken of, then that of the target; DCGM's changed its case."""


@dataclass(frozen=True)
class Rule:
    """What has all ``labels`` is ``component``, in which ``{label}`` stands for a label's value."""

    component: str
    labels: Mapping[str, str]

    def of(self, labels: Mapping[str, str]) -> str | None:
        """Return the component, None where the rule does not speak of these labels."""
        fields = _FIELD.findall(self.component)
        if any(labels.get(key) != value for key, value in self.labels.items()):
            return None
        if any(not labels.get(each) for each in fields):
            return None
        return _FIELD.sub(lambda match: labels[match.group(1)], self.component)


@dataclass(frozen=True)
class Placement:
    """Where components are.

    Parameters
    ----------
    rules
        Looked at first, in their order.
    pods
        Pod to component.
    nodes
        Node, by its name and each of its addresses, to component.
    addresses
        Address of a pod to component.
    """

    rules: tuple[Rule, ...] = ()
    pods: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)

    def of(self, labels: Mapping[str, str]) -> str | None:
        """Return the component that labels speak of: a rule's, else the pod's, else the node's."""
        if "component" in labels and "/" in labels["component"]:
            return labels["component"]
        for rule in self.rules:
            if (component := rule.of(labels)) is not None:
                return component
        return self._among(self.pods, labels, _POD_LABELS)

    def node(self, labels: Mapping[str, str]) -> str | None:
        """Return the machine that labels speak of."""
        host = labels.get("instance", "").rpartition(":")[0]
        return self._among(self.nodes, labels, _NODE_LABELS) or self.nodes.get(host)

    def with_rules(self, rules: tuple[Rule, ...]) -> Placement:
        """Return it with rules that come first."""
        return replace(self, rules=(*rules, *self.rules))

    @staticmethod
    def _among(
        known: Mapping[str, str], labels: Mapping[str, str], keys: tuple[str, ...]
    ) -> str | None:
        return next((known[labels[key]] for key in keys if labels.get(key) in known), None)


class Relabeller:
    """Gives series of a cluster the labels that the vocabulary asks for: component and job.

    The job that scraped a series is kept as ``scrape_job``.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._placed: set[str] = set()
        self._unplaced: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def __call__(self, job: str | None, name: str, labels: Labels) -> Labels | None:
        """Return a series' labels; None leaves it out."""
        component = self._component(job, name, labels)
        if component is None:
            # Every target of the cluster has `up`: most are not the lab's.
            if job is not None:
                told = labels.get("pod") or labels.get("instance") or name
                self._unplaced[job][f"{job}: {told}"] += 1
            return None
        self._placed.add(job or "")
        kept = {**labels, "component": component}
        if job is not None:
            kept |= {"job": job, "scrape_job": labels.get("job", "")}
        return kept

    def strangers(self) -> Counter[str]:
        """Return what the series that belong to no component say of themselves, and how many.

        A cluster has machines without the lab: they count only where no machine was known.
        """
        return sum(
            (
                counts
                for job, counts in self._unplaced.items()
                if job not in _OF_MACHINES or job not in self._placed
            ),
            Counter(),
        )

    def _component(self, job: str | None, name: str, labels: Labels) -> str | None:
        placement = self._placement
        if "/" in labels.get("component", ""):
            return labels["component"]
        if component := next(filter(None, (r.of(labels) for r in placement.rules)), None):
            return component
        match job:
            case "dcgm":
                # A pod there is the one that uses the device, not what the series speaks of.
                node = placement.node(labels)
                return None if node is None else gpu_id(node, labels.get("gpu", "0"))
            case "node" | "cilium":
                return placement.node(labels)
            case "kube" if not name.startswith(_OF_POD):
                return SERVICE
            case "istio":
                ends = [labels.get(f"{each}_workload", "") for each in ("source", "destination")]
                return f"link/{'--'.join(ends)}" if all(ends) else None
            case None:
                return placement.of(labels) or placement.node(labels)
            case _:
                return placement.of(labels)


def gpu_id(node: str, number: str) -> str:
    """Return the id of a machine's device."""
    return f"gpu/{node.split('/', 1)[1]}.{number}"


def component_of(identity: str, labels: Mapping[str, str] | None = None) -> Component:
    """Make a component of its id."""
    kind, _, name = identity.partition("/")
    return Component(kind, name, labels or {})
