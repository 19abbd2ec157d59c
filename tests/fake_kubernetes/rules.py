# SPDX-License-Identifier: Apache-2.0
"""What a real server makes of an object before it keeps it: names, defaults, what is fixed."""

from __future__ import annotations

import base64
import copy
import re
from typing import Any

from . import errors
from .kinds import Kind
from .schemas import faults, pruned, with_defaults
from .selectors import labels_match

Object = dict[str, Any]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Roles and what points to them may have colons.
_FREE_NAMES = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
_LABEL_NAMES = {"Namespace", "Service"}

_REPLICAS = {"replicas": 1}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Deployment": _REPLICAS
    | {
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
        },
    },
    "ReplicaSet": _REPLICAS,
    "StatefulSet": _REPLICAS
    | {
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    },
    "DaemonSet": {
        "revisionHistoryLimit": 10,
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
        },
    },
    "Job": {"completions": 1, "parallelism": 1, "backoffLimit": 6, "suspend": False},
    "Service": {"type": "ClusterIP", "sessionAffinity": "None"},
    "PersistentVolumeClaim": {"volumeMode": "Filesystem"},
    "Pod": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30},
    "CustomResourceDefinition": {"conversion": {"strategy": "None"}},
}
# Of these kinds, what of the specification stays as it was made.
_IMMUTABLE: dict[str, tuple[str, ...]] = {
    "Deployment": ("selector",),
    "ReplicaSet": ("selector",),
    "DaemonSet": ("selector",),
    "StatefulSet": ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"),
    "Job": ("template", "selector", "completions"),
    "Service": ("clusterIP",),
    "PersistentVolumeClaim": ("accessModes", "storageClassName", "volumeName"),
    "CustomResourceDefinition": ("group", "scope"),
}
_WITH_SELECTOR = {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"}


def check_name(kind: Kind, obj: Object) -> None:
    """Refuse a name that no object may have.

    Raises
    ------
    ApiError
        422.
    """
    name = obj["metadata"].get("name")
    if not name:
        raise errors.invalid(
            kind.group, kind.name, "", [("metadata.name", "Required value: name or generateName")]
        )
    if kind.name in _FREE_NAMES:
        fine = "/" not in name and "%" not in name
    else:
        rule = _LABEL if kind.name in _LABEL_NAMES else _SUBDOMAIN
        fine = len(name) <= 253 and rule.fullmatch(name) is not None
    if not fine:
        why = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case'
        why += " alphanumeric characters, '-' or '.', and must start and end with one of the first"
        raise errors.invalid(kind.group, kind.name, name, [("metadata.name", why)])


def prepared(kind: Kind, obj: Object, *, strict: bool) -> Object:
    """Return the object as it is kept: with defaults, unknown fields of custom resources pruned.

    Raises
    ------
    ApiError
        400 for unknown fields where ``strict``, 422 for what breaks the schema or the rules.
    """
    obj = copy.deepcopy(obj)
    if kind.custom:
        return _custom(kind, obj, strict)
    if kind.name in _DEFAULTS and isinstance(obj.get("spec"), dict):
        obj["spec"] = copy.deepcopy(_DEFAULTS[kind.name]) | obj["spec"]
    if kind.name == "Secret":
        _encode_secret(obj)
    if kind.name == "Namespace":
        labels = obj["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    if kind.name == "Service":
        for port in obj.get("spec", {}).get("ports") or []:
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
    if kind.name in _WITH_SELECTOR:
        _check_selector(kind, obj)
    if kind.name == "CustomResourceDefinition":
        _check_definition(kind, obj)
    return obj


def _custom(kind: Kind, obj: Object, strict: bool) -> Object:
    if kind.schema is None:
        return obj
    obj, unknown = pruned(obj, kind.schema)
    if unknown and strict:
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        message = f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}:'
        raise errors.ApiError(400, f"{message} strict decoding error: {listed}")
    obj = with_defaults(obj, kind.schema)
    if causes := faults(obj, kind.schema):
        raise errors.invalid(kind.group, kind.name, obj["metadata"]["name"], causes)
    return obj


def _encode_secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def _check_selector(kind: Kind, obj: Object) -> None:
    spec = obj.get("spec") or {}
    name = obj["metadata"]["name"]
    if not spec.get("selector"):
        raise errors.invalid(kind.group, kind.name, name, [("spec.selector", "Required value")])
    labels = (spec.get("template", {}).get("metadata") or {}).get("labels") or {}
    if not labels_match(spec["selector"], labels):
        why = f"Invalid value: {labels}: `selector` does not match template `labels`"
        causes = [("spec.template.metadata.labels", why)]
        raise errors.invalid(kind.group, kind.name, name, causes)


def _check_definition(kind: Kind, obj: Object) -> None:
    spec, name = obj["spec"], obj["metadata"]["name"]
    wanted = f"{spec['names']['plural']}.{spec['group']}"
    if name != wanted:
        why = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        raise errors.invalid(kind.group, kind.name, name, [("metadata.name", why)])
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")


def check_unchanged(kind: Kind, before: Object, after: Object) -> None:
    """Refuse to change what is fixed once an object is made.

    Raises
    ------
    ApiError
        422.
    """
    old, new = before.get("spec") or {}, after.get("spec") or {}
    causes = [
        (f"spec.{name}", "Invalid value: field is immutable")
        for name in _IMMUTABLE.get(kind.name, ())
        if name in old and old[name] != new.get(name)
    ]
    if kind.name in ("RoleBinding", "ClusterRoleBinding") and before["roleRef"] != after["roleRef"]:
        causes.append(("roleRef", "Invalid value: cannot change roleRef"))
    if before.get("immutable") and kind.name in ("ConfigMap", "Secret"):
        causes += [
            (name, "Forbidden: field is immutable when `immutable` is set")
            for name in ("data", "binaryData", "immutable")
            if before.get(name) != after.get(name)
        ]
    if causes:
        name = after["metadata"]["name"]
        raise errors.invalid(kind.group, kind.name, name, causes)
