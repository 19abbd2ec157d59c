# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's operator: a collector becomes the workload of its mode, and a Service.

Names and labels are those of the operator. Only what others can see of a collector is played: it
reads its ports off the receiver `otlp` alone.
"""

from __future__ import annotations

from typing import Any

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.operators import is_watched
from tests.fake_kubernetes.storage import Object

from . import plays

_OPERATOR = "opentelemetry-operator"
_WORKLOADS = {"deployment": "Deployment", "daemonset": "DaemonSet", "statefulset": "StatefulSet"}
_PORTS = {"grpc": 4317, "http": 4318}


@plays("opentelemetry.io", "OpenTelemetryCollector")
def collector(cluster: Cluster, obj: Object) -> None:
    """Play a collector."""
    kind = _WORKLOADS.get(obj["spec"].get("mode", "deployment"))
    if kind is None or "deletionTimestamp" in obj["metadata"]:
        return
    if not is_watched(cluster, _OPERATOR):
        return
    metadata = obj["metadata"]
    name, namespace = f"{metadata['name']}-collector", metadata["namespace"]
    labels = {
        "app.kubernetes.io/component": "opentelemetry-collector",
        "app.kubernetes.io/instance": f"{namespace}.{metadata['name']}",
        "app.kubernetes.io/managed-by": "opentelemetry-operator",
        "app.kubernetes.io/name": name,
    }
    spec = _workload(obj["spec"], labels, kind)
    current = cluster.find("apps", kind, name, namespace)
    if current is None:
        place = {"name": name, "namespace": namespace, "labels": labels}
        made = {"apiVersion": "apps/v1", "kind": kind, "metadata": place, "spec": spec}
        cluster.make(made, owner=obj)
    elif any(current["spec"].get(key) != value for key, value in spec.items()):
        generation = current["metadata"]["generation"] + 1
        raised = current | {"metadata": current["metadata"] | {"generation": generation}}
        cluster.change(raised, spec=current["spec"] | spec)
    protocols = obj["spec"]["config"].get("receivers", {}).get("otlp", {}).get("protocols", {})
    if protocols and cluster.find("", "Service", name, namespace) is None:
        ports = [{"name": f"otlp-{each}", "port": _PORTS[each]} for each in protocols]
        cluster.make(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"type": "ClusterIP", "selector": labels, "ports": ports},
            },
            owner=obj,
        )


def _workload(spec: Object, labels: dict[str, str], kind: str) -> dict[str, Any]:
    container = {
        "name": "otc-container",
        "image": spec.get("image", "otelcol"),
        "env": spec.get("env", []),
        "volumeMounts": spec.get("volumeMounts", []),
    }
    pod: Object = {
        "serviceAccountName": spec.get("serviceAccount", "default"),
        "containers": [container, *spec.get("additionalContainers", [])],
        "volumes": spec.get("volumes", []),
        "tolerations": spec.get("tolerations", []),
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    made: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": template}
    if kind == "Deployment":
        made["strategy"] = spec.get("deploymentUpdateStrategy") or {"type": "RollingUpdate"}
    if kind != "DaemonSet":
        made["replicas"] = spec.get("replicas", 1)
    if kind == "StatefulSet":
        made["serviceName"] = labels["app.kubernetes.io/name"]
    return made
