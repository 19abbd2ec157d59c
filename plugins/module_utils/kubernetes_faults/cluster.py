# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault may act on in a cluster, as ``cluster.json`` and the API tell it.

``cluster.json`` names the cluster and the one namespace of the lab: nothing outside of it is a
target, but for the nodes that its pods run on. What a pod is, its annotation or the labels of
KubeRay and vLLM say, as for the telemetry (``docs/cluster-telemetry.md``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..faults import clocks
from ..faults.contract import Spec, Target
from ..faults.errors import RefusedError
from ..faults.lab import Grafana, check_allowed
from .api import NODE, POD, RAY_SERVICE, Api, Object, connect

FORMAT = 1
ISOLATION = "kubernetes"
SERVICE = "service/llm"
_UNITS = {
    "m": 1e-3,
    **{unit: 1000.0**power for power, unit in enumerate("kMGT", 1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGT", 1)},
}
_QUANTITY = re.compile(r"([0-9.]+)([A-Za-z]*)")
# Whose pods nobody may break, whatever a file says.
_SYSTEM_NAMESPACE = re.compile(r"kube-.*|default|chaos-mesh|monitoring")
_COMPONENT = "rcalab.llm/component"
_MISSING = "run the role chaos_agent with chaos_agent_platform: kubernetes"
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True)
class ClusterPod:
    """A pod of the lab; ``manifest`` is the object as the API gave it."""

    component: str
    manifest: Object = field(repr=False)
    isolation: str = ISOLATION

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.manifest["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Its name, which its successor does not have."""
        return str(self.manifest["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What no other pod ever has."""
        return str(self.manifest["metadata"]["uid"])

    @property
    def node(self) -> str:
        """The node that it runs on; empty before it does."""
        return str(self.manifest["spec"].get("nodeName", ""))

    @property
    def container(self) -> Object:
        """The container that does the pod's work."""
        named = (self.manifest["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
        containers: list[Object] = self.manifest["spec"]["containers"]
        return next((each for each in containers if each["name"] == named), containers[0])

    @property
    def status(self) -> Object:
        """What the kubelet says of that container; empty before it says anything."""
        found = (self.manifest.get("status") or {}).get("containerStatuses") or []
        name = self.container["name"]
        return next((each for each in found if each["name"] == name), {})

    def limit(self, resource: str) -> float | None:
        """Return the container's limit of a resource (cores, bytes); None where it has none."""
        found = ((self.container.get("resources") or {}).get("limits") or {}).get(resource)
        return None if found is None else quantity(str(found))

    @property
    def restarts(self) -> int:
        """How often the kubelet has started that container again."""
        return int(self.status.get("restartCount", 0))

    @property
    def has_ended(self) -> bool:
        """Whether all its containers have, as a Job's do."""
        return (self.manifest.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    @property
    def is_ready(self) -> bool:
        """Whether it is ready, and not on its way out."""
        conditions = (self.manifest.get("status") or {}).get("conditions") or []
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and "deletionTimestamp" not in self.manifest["metadata"]


@dataclass(frozen=True)
class ClusterPart:
    """A target that is no pod: a node, or the service as a whole."""

    component: str
    manifest: Object = field(repr=False)
    isolation: str = ISOLATION

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class Cluster:
    """The lab in a cluster.

    Attributes
    ----------
    namespace
        Where faults may act.
    service
        The name of the RayService; None where the engines run without Ray.
    deny
        Patterns of faults and components that nobody may break here.
    node_agent
        The host's chaos agent, which a pod on a node runs; None where there is none.
    gpu_runtime
        The RuntimeClass that shows a container the node's GPUs; None for the node's own runtime.
    """

    kubeconfig: str
    context: str | None
    namespace: str
    service: str | None = None
    deny: tuple[str, ...] = ()
    prometheus: str | None = None
    grafana: Grafana | None = None
    node_agent: str | None = None
    gpu_runtime: str | None = None

    @property
    def api(self) -> Api:
        """The connection, made when it is first needed."""
        return connect(self.kubeconfig, self.context)

    def pods(self) -> list[ClusterPod]:
        """Return the pods that are a component, but for those on their way out.

        Raises
        ------
        OSError
            If the API server does not answer.
        """
        found = []
        for manifest in self.api.objects(POD, self.namespace):
            component = component_of(manifest)
            if component is not None and "deletionTimestamp" not in manifest["metadata"]:
                found.append(ClusterPod(component, manifest))
        return found

    def pods_of(self, component: str) -> list[ClusterPod]:
        """Return the pods of a component."""
        return [pod for pod in self.pods() if pod.component == component]

    def pod(self, before: ClusterPod) -> ClusterPod | None:
        """Return a pod as it is now; None if it is gone, or another one has its name."""
        manifest = self.api.get(POD, before.namespace, before.name)
        if manifest is None or manifest["metadata"]["uid"] != before.uid:
            return None
        return ClusterPod(before.component, manifest)

    def find(self, component: str) -> ClusterPod | ClusterPart:
        """Return what a component is.

        Raises
        ------
        RefusedError
            If it is nothing, or not exactly one thing, that a fault may act on.
        """
        try:
            return self._find(component)
        except OSError as error:
            raise RefusedError(f"{component} can't be looked for: {error}") from error

    def _find(self, component: str) -> ClusterPod | ClusterPart:
        kind, _slash, name = component.partition("/")
        pods = self.pods()
        if kind == "node":
            node = self.api.get(NODE, "", name) if any(pod.node == name for pod in pods) else None
            if node is None:
                used = ", ".join(sorted({f"node/{pod.node}" for pod in pods})) or "none"
                raise RefusedError(f"{component} runs no pod of the lab; its nodes are: {used}")
            return ClusterPart(component, node)
        if component == SERVICE:
            service = self.service and self.api.get(RAY_SERVICE, self.namespace, self.service)
            if not service:
                raise RefusedError(f"there is no RayService of {component} in {self.namespace}")
            return ClusterPart(component, service)
        found = [pod for pod in pods if pod.component == component]
        if len(found) != 1:
            what = "no pod" if not found else f"{len(found)} pods"
            known = ", ".join(sorted({pod.component for pod in pods})) or "none"
            raise RefusedError(
                f"target {component!r} is {what} of namespace {self.namespace}, and only exactly "
                f"one can be a target; its components are: {known}"
            )
        return self._checked(found[0])

    def _checked(self, pod: ClusterPod) -> ClusterPod:
        if pod.manifest["spec"].get("hostNetwork"):
            raise RefusedError(f"pod {pod.name} uses the network of its node: it is no target")
        if not pod.is_ready:
            raise RefusedError(f"pod {pod.name} is not ready: wait until the service is whole")
        return pod


@dataclass(frozen=True)
class ClusterTarget(Target):
    """A target in a cluster."""

    cluster: Cluster = field(kw_only=True)

    @property
    def cluster_pod(self) -> ClusterPod:
        """The pod that it is; raises `RefusedError` where it is none."""
        if not isinstance(self.where, ClusterPod):
            raise RefusedError(f"{self.component} is no pod")
        return self.where

    @property
    def cluster_part(self) -> ClusterPart:
        """The part of the cluster that it is; raises `RefusedError` where it is a pod."""
        if not isinstance(self.where, ClusterPart):
            raise RefusedError(f"{self.component} is a pod")
        return self.where

    @property
    def grafana(self) -> Grafana | None:
        return self.cluster.grafana

    def clocks(self) -> dict[str, Callable[[], dict[str, float]]]:
        asked: dict[str, Callable[[], dict[str, float]]] = {
            "the API server": self.cluster.api.clock_offset_ms
        }
        if self.cluster.prometheus is not None:
            asked["Prometheus"] = partial(clocks.prometheus_offset_ms, self.cluster.prometheus)
        return asked

    def describe(self) -> dict[str, str]:
        told = {"component": self.component, "pod": "", "host": self.host}
        if isinstance(self.where, ClusterPod):
            told |= {"pod": self.where.name, "uid": self.where.uid}
        return {**told, "namespace": self.cluster.namespace}


def quantity(text: str) -> float:
    """Return the number that a quantity such as ``500m`` or ``16Gi`` stands for.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in {"", *_UNITS}:
        raise ValueError(f"{text!r} is no quantity such as 500m or 16Gi")
    return float(match[1]) * _UNITS.get(match[2], 1.0)


def component_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the component that a pod is, None if it is none."""
    metadata = manifest["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if named := annotations.get(_COMPONENT):
        return str(named)
    match labels.get("ray.io/node-type"):
        case "head":
            return "head/ray"
        case "worker":
            return f"replica/{labels.get('ray.io/group', '')}"
    index = labels.get("apps.kubernetes.io/pod-index")
    if labels.get("app.kubernetes.io/name") == "vllm" and index is not None:
        return f"replica/llm-{index}"
    return None


def find_target(path: Path, spec: Spec) -> ClusterTarget:
    """Return the target that a spec names, of the cluster that a file describes.

    Raises
    ------
    RefusedError
        If there is none, or it may not be broken.
    """
    cluster = load_cluster(path)
    check_allowed(cluster.deny, spec.fault, spec.target)
    where = cluster.find(spec.target)
    node = where.node if isinstance(where, ClusterPod) else ""
    host = where.name if spec.target.startswith("node/") else node
    return ClusterTarget(where, host, cluster=cluster)


def load_cluster(path: Path) -> Cluster:
    """Read ``cluster.json``.

    Raises
    ------
    RefusedError
        If it is missing or no such file, or names a namespace that no fault may touch.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RefusedError(f"{path} is missing: {_MISSING}") from error
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} can't be read as a cluster's description: {error}") from error
    try:
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, not {FORMAT}")
        cluster = Cluster(
            str(facts["kubeconfig"]),
            facts["context"],
            str(facts["namespace"]),
            facts["service"],
            tuple(facts["deny"]),
            facts["prometheus"],
            None if facts["grafana"] is None else Grafana(**facts["grafana"]),
            facts["node_agent"],
            facts.get("gpu_runtime"),
        )
    except (KeyError, TypeError, ValueError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise RefusedError(f"{path} describes no cluster: {detail}") from error
    if _SYSTEM_NAMESPACE.fullmatch(cluster.namespace):
        raise RefusedError(
            f"namespace {cluster.namespace} is not the lab's: nothing in it is a target"
        )
    return cluster
