# SPDX-License-Identifier: Apache-2.0
"""A service gets its address, a claim its volume."""

from __future__ import annotations

import ipaddress

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.storage import Object

from . import plays

_SERVICE_NETWORK = ipaddress.ip_network("10.43.0.0/16")
_NODE_PORTS = range(30000, 32768)


@plays("", "Service")
def service(cluster: Cluster, obj: Object) -> None:
    """Play a Service; one of type LoadBalancer gets the nodes' addresses, as k3s gives them."""
    spec = dict(obj["spec"])
    if spec["type"] == "ExternalName":
        return
    if not spec.get("clusterIP"):
        number = int(obj["metadata"]["uid"][:4], 16) or 1
        spec["clusterIP"] = str(_SERVICE_NETWORK[number])
    spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec["ports"] = _with_node_ports(cluster, obj, spec["ports"])
    status: Object = {"loadBalancer": {}}
    if spec["type"] == "LoadBalancer" and not cluster.is_stuck(obj):
        addresses = [node["status"]["addresses"][0] for node in cluster.objects("", "Node")]
        status["loadBalancer"] = {"ingress": [{"ip": item["address"]} for item in addresses]}
    cluster.change(obj, spec=spec, status=status)


def _with_node_ports(cluster: Cluster, obj: Object, ports: list[Object]) -> list[Object]:
    taken = {
        port.get("nodePort")
        for other in cluster.objects("", "Service")
        if other["metadata"]["uid"] != obj["metadata"]["uid"]
        for port in other["spec"].get("ports") or []
    } | {port.get("nodePort") for port in ports}
    free = (number for number in _NODE_PORTS if number not in taken)
    return [port if port.get("nodePort") else port | {"nodePort": next(free)} for port in ports]


@plays("", "PersistentVolumeClaim")
def claim(cluster: Cluster, obj: Object) -> None:
    """Play a claim: it is bound to a volume of its own (which is not an object here)."""
    if cluster.is_stuck(obj):
        cluster.change(obj, status={"phase": "Pending"})
        return
    spec = obj["spec"]
    volume = spec.get("volumeName") or f"pvc-{obj['metadata']['uid']}"
    storage_class = spec.get("storageClassName") or "local-path"
    status = {
        "phase": "Bound",
        "accessModes": spec.get("accessModes", []),
        "capacity": (spec.get("resources") or {}).get("requests", {}),
    }
    cluster.change(
        obj, spec=spec | {"volumeName": volume, "storageClassName": storage_class}, status=status
    )
