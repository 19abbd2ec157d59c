# SPDX-License-Identifier: Apache-2.0
"""What hangs under an object (scale, eviction, tokens), and reviews that are asked and not kept."""

from __future__ import annotations

from typing import Any

from . import clock, errors, verbs
from .cluster import Cluster
from .errors import ApiError
from .kinds import Kind
from .patches import json_merge
from .storage import Object

USER = "fake-admin"
# No container writes a log: a test writes it here.
LOG = "fake/log"
_NO_CONTAINERS = {"attach", "ephemeralcontainers", "exec", "portforward", "proxy"}


def review(kind: str) -> Object:
    """Answer a review, whatever it asks: everything is allowed."""
    api_group = "authentication" if kind == "SelfSubjectReview" else "authorization"
    user = {"username": USER, "groups": ["system:masters", "system:authenticated"]}
    status = {"userInfo": user} if kind == "SelfSubjectReview" else {"allowed": True}
    made = {"apiVersion": f"{api_group}.k8s.io/v1", "kind": kind, "metadata": {}}
    return made | {"spec": {}, "status": status}


def act(
    cluster: Cluster,
    kind: Kind,
    namespace: str,
    name: str,
    subresource: str,
    verb: str,
    body: Object,
) -> tuple[int, Object]:
    """Do what a request asks of a subresource other than the status.

    Raises
    ------
    ApiError
        404 where there is none, 501 for what needs a container.
    """
    live = verbs.get(cluster, kind, namespace, name)
    if subresource == "scale" and kind.scaled:
        return 200, _scale(cluster, kind, live, verb, body)
    if (kind.name, subresource, verb) == ("Pod", "eviction", "create"):
        verbs.delete(cluster, kind, namespace, name, {}, dry_run=False)
        return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}}
    if (kind.name, subresource, verb) == ("ServiceAccount", "token", "create"):
        token = f"fake-token-of-{namespace}-{name}-{cluster.suffix(24)}"
        status = {"token": token, "expirationTimestamp": clock.now()}
        return 201, body | {"kind": "TokenRequest", "status": status}
    if (kind.name, subresource, verb) == ("Namespace", "finalize", "update"):
        if not body.get("spec", {}).get("finalizers"):
            cluster.drop(live)
        return 200, body
    if (kind.name, subresource, verb) == ("Pod", "log", "get"):
        return 200, {"text": (live["metadata"].get("annotations") or {}).get(LOG, "")}
    if kind.name in ("Pod", "Service", "Node") and subresource in _NO_CONTAINERS:
        raise ApiError(501, f"this server runs no containers: it has no {subresource}")
    raise errors.no_such_path()


def _scale(cluster: Cluster, kind: Kind, live: Object, verb: str, body: Object) -> Object:
    current = _scale_of(live)
    if verb in ("update", "patch"):
        wanted = body if verb == "update" else json_merge(current, body)
        replicas = wanted["spec"].get("replicas", 0)
        options = verbs.Options(manager="scale")
        changed = live | {"spec": live["spec"] | {"replicas": replicas}}
        metadata = live["metadata"]
        namespace = metadata.get("namespace", "")
        live = verbs.replace(cluster, kind, namespace, metadata["name"], changed, options)
        return _scale_of(live)
    return current


def _scale_of(obj: Object) -> dict[str, Any]:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": obj["spec"].get("replicas", 1)},
        "status": {"replicas": obj.get("status", {}).get("replicas", 0)},
    }
