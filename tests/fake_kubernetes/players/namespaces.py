# SPDX-License-Identifier: Apache-2.0
"""A namespace is active, has a service account, and takes its objects along when it goes."""

from __future__ import annotations

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.storage import Object

from . import plays


@plays("", "Namespace")
def namespace(cluster: Cluster, obj: Object) -> None:
    """Play a namespace."""
    name = obj["metadata"]["name"]
    if "deletionTimestamp" not in obj["metadata"]:
        if obj.get("status") != {"phase": "Active"}:
            cluster.change(obj, status={"phase": "Active"})
        _furnish(cluster, name)
        return
    if obj["status"]["phase"] != "Terminating":
        cluster.change(obj, status={"phase": "Terminating"})
    for inside in _inside(cluster, name):
        cluster.delete(inside)
    # What has finalizers is still there; the namespace is looked at again when it goes.
    if _inside(cluster, name):
        cluster.await_empty(obj)
    else:
        cluster.drop(cluster.find("", "Namespace", name) or obj)


def _inside(cluster: Cluster, name: str) -> list[Object]:
    found = cluster.storage.everything()
    return [obj for _, obj in list(found) if obj["metadata"].get("namespace") == name]


def _furnish(cluster: Cluster, name: str) -> None:
    """Make what every namespace has, unless it is there."""
    if not cluster.find("", "ServiceAccount", "default", name):
        metadata = {"name": "default", "namespace": name}
        cluster.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    if not cluster.find("", "ConfigMap", "kube-root-ca.crt", name):
        metadata = {"name": "kube-root-ca.crt", "namespace": name}
        data = {"ca.crt": "there is no certificate here"}
        cluster.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
