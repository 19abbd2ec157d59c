# SPDX-License-Identifier: Apache-2.0
"""What the server says it serves: versions, groups, resources, OpenAPI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import no_such_path
from .kinds import Kinds

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+k3s1",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-05-06T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_WRITES = ("post", "put", "patch")
# What `kubectl get all` lists.
_IN_ALL = {
    ("", "pods"),
    ("", "services"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
}


def core_versions(address: str) -> dict[str, Any]:
    """Answer `/api`."""
    cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": cidrs}


def _group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{v}", "version": v} for v in _by_age(versions)]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _by_age(versions: Iterable[str]) -> list[str]:
    """Order versions as Kubernetes prefers them: v2, v1, v1beta2, v1alpha1."""

    def age(version: str) -> tuple[int, str]:
        return (0 if version[1:].isdigit() else 1 if "beta" in version else 2), version

    return sorted(sorted(set(versions), reverse=True), key=lambda v: age(v)[0])


def groups(kinds: Kinds) -> dict[str, Any]:
    """Answer `/apis`."""
    versions: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.group:
            versions.setdefault(kind.group, []).append(kind.version)
    for group_, version, _ in REVIEWS:
        versions[group_] = [version]
    listed = [_group(name, found) for name, found in versions.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(kinds: Kinds, name: str) -> dict[str, Any]:
    """Answer `/apis/GROUP`.

    Raises
    ------
    ApiError
        If there is none: 404.
    """
    for found in groups(kinds)["groups"]:
        if found["name"] == name:
            return {"kind": "APIGroup", "apiVersion": "v1", **found}
    raise no_such_path()


def resources(kinds: Kinds, group_: str, version: str) -> dict[str, Any]:
    """Answer `/api/v1` and `/apis/GROUP/VERSION`.

    Raises
    ------
    ApiError
        If there is none: 404.
    """
    listed: list[dict[str, Any]] = []
    for kind in (k for k in kinds if (k.group, k.version) == (group_, version)):
        entry: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.name.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": _VERBS,
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.place in _IN_ALL:
            entry["categories"] = ["all"]
        listed.append(entry)
        below = {"name": "", "singularName": "", "namespaced": kind.namespaced}
        verbs = ["get", "patch", "update"]
        if kind.has_status:
            name = f"{kind.plural}/status"
            listed.append(below | {"name": name, "kind": kind.name, "verbs": verbs})
        if kind.scaled:
            scale = {"kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": verbs}
            listed.append(below | {"name": f"{kind.plural}/scale"} | scale)
        if kind.place == ("", "pods"):
            eviction = {"kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]}
            listed.append(below | {"name": "pods/eviction"} | eviction)
    for (review_group, review_version, name), kind_name in REVIEWS.items():
        if (review_group, review_version) == (group_, version):
            entry = {"name": name, "singularName": kind_name.lower(), "namespaced": False}
            listed.append(entry | {"kind": kind_name, "verbs": ["create"]})
    if not listed:
        raise no_such_path()
    api_version = f"{group_}/{version}" if group_ else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": listed,
    }


# Kinds that are asked and not kept.
REVIEWS = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}


def review_at(path: str) -> str | None:
    """Return the kind of review that is asked at a path, or None."""
    for (group_, version, name), kind in REVIEWS.items():
        if path == f"/apis/{group_}/{version}/{name}":
            return kind
    return None


def openapi_index(kinds: Kinds) -> dict[str, Any]:
    """Answer `/openapi/v3`."""
    served = sorted({kind.path[1:] for kind in kinds})
    paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=0"} for path in served}
    return {"paths": paths}


def openapi(kinds: Kinds, path: str) -> dict[str, Any]:
    """Answer `/openapi/v3/PATH` with what clients look for in it.

    That is, for each kind, that its writes know `fieldValidation`, and a schema that allows all:
    a client that sees the parameter leaves the checking to the server.

    Raises
    ------
    ApiError
        If nothing is served at the path: 404.
    """
    found = [kind for kind in kinds if kind.path[1:] == path]
    if not found:
        raise no_such_path()
    paths, schemas = {}, {}
    for kind in found:
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.name}
        schema_name = f"fake.{kind.group or 'core'}.{kind.version}.{kind.name}"
        schemas[schema_name] = {
            "type": "object",
            "x-kubernetes-group-version-kind": [gvk],
            **(kind.schema or {"x-kubernetes-preserve-unknown-fields": True}),
        }
        scope = "namespaces/{namespace}/" if kind.namespaced else ""
        base = f"{kind.path}/{scope}{kind.plural}"
        paths[base] = {"post": _operation(gvk, schema_name)}
        item = {verb: _operation(gvk, schema_name) for verb in _WRITES[1:]}
        paths[f"{base}/{{name}}"] = item
    info = {"title": "Kubernetes", "version": VERSION["gitVersion"]}
    return {
        "openapi": "3.0.0",
        "info": info,
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(gvk: dict[str, str], schema_name: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    schema = {"$ref": f"#/components/schemas/{schema_name}"}
    return {
        "x-kubernetes-group-version-kind": gvk,
        "parameters": parameters,
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "OK"}},
    }


def of_path(kinds: Kinds, path: str, address: str) -> dict[str, Any] | None:
    """Answer a path of discovery; None: it is none."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["version"]:
            return VERSION
        case ["api"]:
            return core_versions(address)
        case ["apis"]:
            return groups(kinds)
        case ["api", version]:
            return resources(kinds, "", version)
        case ["apis", name]:
            return group(kinds, name)
        case ["apis", name, version]:
            return resources(kinds, name, version)
        case ["openapi", "v3"]:
            return openapi_index(kinds)
        case ["openapi", "v3", *rest]:
            return openapi(kinds, "/".join(rest))
    return None
