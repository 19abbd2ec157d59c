# SPDX-License-Identifier: Apache-2.0
"""What a request does to objects: create, replace, patch, delete."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from . import clock, errors, owners
from .cluster import Cluster
from .fields import Shape
from .kinds import Kind
from .patches import json_merge, json_patch, strategic_merge
from .rules import check_name, check_unchanged, prepared
from .storage import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCHES = ("application/apply-patch+yaml", "application/apply-patch+cbor")

# What the server writes, whatever a client sends.
_SYSTEM = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


@dataclass(frozen=True)
class Options:
    """How a write is meant: the query of its request."""

    manager: str
    dry_run: bool = False
    strict: bool = False
    force: bool = False
    subresource: str = ""


def create(cluster: Cluster, kind: Kind, namespace: str, obj: Object, options: Options) -> Object:
    """Make an object.

    Raises
    ------
    ApiError
        If it cannot be made: 400, 403, 404, 409 or 422.
    """
    obj = _checked_body(kind, namespace, obj)
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise errors.ApiError(400, "resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + cluster.suffix()
    check_name(kind, obj)
    if kind.namespaced:
        _check_namespace(cluster, kind, namespace, metadata["name"])
    if cluster.storage.get(kind.place, (namespace, metadata["name"])) is not None:
        raise errors.already_exists(kind.group, kind.plural, metadata["name"])
    if kind.has_status:
        obj.pop("status", None)
    obj = prepared(kind, obj, strict=options.strict)
    metadata = obj["metadata"]
    for field in _SYSTEM:
        metadata.pop(field, None)
    metadata.update(uid=cluster.new_uid(), creationTimestamp=clock.now())
    if kind.has_status or kind.custom:
        metadata["generation"] = 1
    if "managedFields" not in metadata:
        owners.note_update(None, obj, _shape(kind), options.manager)
    if options.dry_run:
        return obj
    return cluster.save(obj)


def replace(
    cluster: Cluster, kind: Kind, namespace: str, name: str, obj: Object, options: Options
) -> Object:
    """Put an object, or its status, in place of what is there.

    Raises
    ------
    ApiError
        If it cannot be: 400, 404, 409 or 422.
    """
    live = get(cluster, kind, namespace, name)
    obj = _checked_body(kind, namespace, obj)
    obj["metadata"].setdefault("name", name)
    if obj["metadata"]["name"] != name:
        sent = obj["metadata"]["name"]
        message = f"the name of the object ({sent}) does not match the name on the URL ({name})"
        raise errors.ApiError(400, message)
    _check_precondition(kind, live, obj["metadata"])
    return _write(cluster, kind, live, obj, options)


def patch(
    cluster: Cluster,
    kind: Kind,
    namespace: str,
    name: str,
    body: Any,
    media_type: str,
    options: Options,
) -> tuple[Object, bool]:
    """Patch an object; return it and whether it is new, which only server-side apply can make it.

    Raises
    ------
    ApiError
        If it cannot be: 400, 404, 409, 415 or 422.
    """
    if media_type in APPLY_PATCHES:
        return _apply(cluster, kind, namespace, name, body, options)
    live = get(cluster, kind, namespace, name)
    if media_type == JSON_PATCH:
        obj = json_patch(live, body)
    elif media_type == MERGE_PATCH:
        obj = json_merge(live, body)
    elif media_type == STRATEGIC_PATCH and not kind.custom:
        obj = strategic_merge(live, body)
    else:
        accepted = [JSON_PATCH, MERGE_PATCH, APPLY_PATCHES[0]]
        if not kind.custom:
            accepted.append(STRATEGIC_PATCH)
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
        )
        raise errors.ApiError(415, message + ", ".join(accepted))
    # A patch that names a revision is held to it.
    _check_precondition(kind, live, obj["metadata"])
    return _write(cluster, kind, live, obj, options), False


def _apply(
    cluster: Cluster, kind: Kind, namespace: str, name: str, body: Any, options: Options
) -> tuple[Object, bool]:
    if not options.manager:
        raise errors.ApiError(400, "fieldManager is required for apply patch")
    body = _checked_body(kind, namespace, body)
    body["metadata"].setdefault("name", name)
    live = cluster.storage.get(kind.place, (namespace, name))
    if live is not None:
        live = in_version(live, kind)
        _check_precondition(kind, live, body["metadata"])
    wanted = {"status"} if options.subresource == "status" else body.keys() - {"status"}
    if kind.has_status:
        body = {k: v for k, v in body.items() if k in wanted | {"apiVersion", "kind", "metadata"}}
    obj = owners.apply(
        live,
        body,
        _shape(kind),
        manager=options.manager,
        force=options.force,
        subresource=options.subresource,
    )
    if live is None:
        return create(cluster, kind, namespace, obj, options), True
    return _write(cluster, kind, live, obj, options, owned=True), False


def _write(
    cluster: Cluster,
    kind: Kind,
    live: Object,
    obj: Object,
    options: Options,
    owned: bool = False,
) -> Object:
    """Keep the next state of an object that is there."""
    obj = copy.deepcopy(obj)
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.name
    metadata = obj["metadata"]
    for field in (*_SYSTEM, "resourceVersion", "name", "namespace"):
        metadata.pop(field, None)
        if field in live["metadata"]:
            metadata[field] = live["metadata"][field]
    if options.subresource == "status":
        obj = live | {"status": obj.get("status", {})}
        if owned:
            obj["metadata"] = live["metadata"] | {"managedFields": metadata["managedFields"]}
    else:
        if kind.has_status:
            obj.pop("status", None)
            obj |= {"status": live["status"]} if "status" in live else {}
        _keep_given(kind, live, obj)
        obj = prepared(kind, obj, strict=options.strict)
        check_unchanged(kind, live, obj)
    obj = copy.deepcopy(obj)
    if "generation" in live["metadata"] and _specified(obj) != _specified(live):
        obj["metadata"]["generation"] = live["metadata"]["generation"] + 1
    if not owned:
        if live["metadata"].get("managedFields"):
            obj["metadata"]["managedFields"] = live["metadata"]["managedFields"]
        if _unowned(obj) != _unowned(live):
            shape = _shape(kind)
            owners.note_update(live, obj, shape, options.manager, options.subresource)
    if options.dry_run:
        return obj
    return cluster.save(obj)


def _keep_given(kind: Kind, live: Object, obj: Object) -> None:
    """Keep what the server has given to an object and a client need not repeat."""
    given = {"Service": ("clusterIP", "clusterIPs"), "PersistentVolumeClaim": ("volumeName",)}
    for field in given.get(kind.name, ()):
        if field in live.get("spec", {}) and not obj.get("spec", {}).get(field):
            obj.setdefault("spec", {})[field] = live["spec"][field]


def _specified(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _unowned(obj: Object) -> Object:
    return obj | {"metadata": obj["metadata"] | {"managedFields": None}}


def delete(
    cluster: Cluster, kind: Kind, namespace: str, name: str, options: dict[str, Any], dry_run: bool
) -> Object:
    """Delete an object; return it where it is still there, else a Status.

    Raises
    ------
    ApiError
        If there is none (404), or another than the preconditions name (409).
    """
    live = get(cluster, kind, namespace, name)
    _check_precondition(kind, live, options.get("preconditions") or {})
    if not (dry_run or options.get("dryRun")):
        orphan = options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents")
        if orphan:
            _orphan_dependents(cluster, live)
        cluster.delete(live)
    remaining = cluster.storage.get(kind.place, (namespace, name))
    # These say the object they were about.
    if kind.name in ("Namespace", "Pod") or (
        remaining and "deletionTimestamp" in remaining["metadata"]
    ):
        return in_version(remaining or live, kind)
    details = {"name": name, "kind": kind.plural, "uid": live["metadata"]["uid"]}
    if kind.group:
        details["group"] = kind.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def _orphan_dependents(cluster: Cluster, owner: Object) -> None:
    uid = owner["metadata"]["uid"]
    for _, obj in list(cluster.storage.everything()):
        refs = obj["metadata"].get("ownerReferences") or []
        left = [ref for ref in refs if ref["uid"] != uid]
        if left != refs:
            cluster.change_metadata(obj, ownerReferences=left or None)


def get(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Object:
    """Return an object.

    Raises
    ------
    ApiError
        If there is none: 404.
    """
    obj = cluster.storage.get(kind.place, (namespace, name))
    if obj is None:
        raise errors.not_found(kind.group, kind.plural, name)
    return in_version(obj, kind)


_EVENT_FACES = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def in_version(obj: Object, kind: Kind) -> Object:
    """Return an object as the version ``kind`` shows it: the same, but for the two of events."""
    if obj["apiVersion"] == kind.api_version:
        return obj
    shown = obj | {"apiVersion": kind.api_version}
    if kind.place == ("", "events"):
        newer = kind.group == "events.k8s.io"
        for core, later in _EVENT_FACES:
            old, new = (core, later) if newer else (later, core)
            if old in shown:
                shown[new] = shown.pop(old)
    return shown


def _shape(kind: Kind) -> Shape:
    return Shape(schema=kind.schema, custom=kind.custom)


def _checked_body(kind: Kind, namespace: str, body: Any) -> Object:
    """Return a copy of a body that is an object of the kind and namespace of its path."""
    if not isinstance(body, dict):
        raise errors.ApiError(400, "the body of the request is no object")
    obj: Object = copy.deepcopy(body)
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.name)
    if obj["apiVersion"] != kind.api_version or obj["kind"] != kind.name:
        message = (
            f"the API version or kind in the data ({obj['apiVersion']}, {obj['kind']}) does not "
        )
        message += f"match the expected one ({kind.api_version}, {kind.name})"
        raise errors.ApiError(400, message)
    metadata = obj["metadata"] = dict(obj.get("metadata") or {})
    if kind.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            message = "the namespace of the provided object does not match the namespace sent on"
            raise errors.ApiError(400, f"{message} the request")
    else:
        metadata.pop("namespace", None)
    return obj


def _check_namespace(cluster: Cluster, kind: Kind, namespace: str, name: str) -> None:
    found = cluster.find("", "Namespace", namespace)
    if found is None:
        raise errors.not_found("", "namespaces", namespace)
    if "deletionTimestamp" in found["metadata"]:
        message = f'{kind.plural} "{name}" is forbidden: unable to create new content in namespace '
        raise errors.ApiError(403, f"{message}{namespace} because it is being terminated")


def _check_precondition(kind: Kind, live: Object, wanted: dict[str, Any]) -> None:
    name = live["metadata"]["name"]
    if wanted.get("uid") not in (None, "", live["metadata"]["uid"]):
        why = f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: "
        raise errors.conflict(kind.group, kind.plural, name, why + live["metadata"]["uid"])
    if wanted.get("resourceVersion") not in (None, "", live["metadata"]["resourceVersion"]):
        why = "the object has been modified; please apply your changes to the latest version and"
        raise errors.conflict(kind.group, kind.plural, name, f"{why} try again")
