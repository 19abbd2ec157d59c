# SPDX-License-Identifier: Apache-2.0
"""A CustomResourceDefinition is established: its kinds are served. When it goes, its objects go."""

from __future__ import annotations

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.conditions import condition, placed
from tests.fake_kubernetes.storage import Object

from . import plays


@plays("apiextensions.k8s.io", "CustomResourceDefinition")
def definition(cluster: Cluster, obj: Object) -> None:
    """Play a definition."""
    spec = obj["spec"]
    place = (spec["group"], spec["names"]["plural"])
    if "deletionTimestamp" in obj["metadata"]:
        for resource in cluster.storage.all(place):
            cluster.delete(resource)
        if not cluster.storage.all(place):
            cluster.change_metadata(obj, finalizers=None)
        return
    cluster.kinds.define(obj)
    if cluster.is_stuck(obj):
        return
    old = obj.get("status", {})
    status = {
        "acceptedNames": spec["names"],
        "storedVersions": [v["name"] for v in spec["versions"] if v.get("storage")],
        "conditions": placed(
            old.get("conditions"),
            condition("NamesAccepted", True, "NoConflicts", "no conflicts found"),
            condition("Established", True, "InitialNamesAccepted", "accepted"),
        ),
    }
    cluster.change(obj, status=status)
    current = cluster.find(
        "apiextensions.k8s.io", "CustomResourceDefinition", obj["metadata"]["name"]
    )
    # So that its objects go first, and while their kind is still served.
    if current is not None:
        cluster.change_metadata(current, finalizers=["customresourcecleanup.apiextensions.k8s.io"])
