# SPDX-License-Identifier: Apache-2.0
"""JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from .errors import ApiError

# By which field the items of a list are told apart, for the built-in kinds.
MERGE_KEYS = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "webhooks": "name",
}
PRIMITIVE_MERGES = {"finalizers"}


def merge_key(name: str, items: list[Any]) -> str | None:
    """Return the merge key of the list field ``name``, or None for a list that is replaced."""
    if name == "ports":
        # Of a container or of a service.
        inside = any("containerPort" in item for item in items if isinstance(item, dict))
        return "containerPort" if inside else "port"
    return MERGE_KEYS.get(name)


def json_merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = json_merge(merged.get(key), value)
    return merged


def strategic_merge(target: Any, patch: Any, name: str = "") -> Any:
    """Apply a strategic merge patch to the value of the field ``name``."""
    if isinstance(patch, dict):
        return _merge_maps(target if isinstance(target, dict) else {}, patch)
    if isinstance(patch, list):
        return _merge_lists(target if isinstance(target, list) else [], patch, name)
    return copy.deepcopy(patch)


def _merge_maps(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    patch = dict(patch)
    directive = patch.pop("$patch", None)
    if directive == "delete":
        return {}
    merged = {} if directive == "replace" else dict(target)
    if "$retainKeys" in patch:
        kept = set(patch.pop("$retainKeys"))
        merged = {key: value for key, value in merged.items() if key in kept}
    orders = {}
    for key, value in patch.items():
        if key.startswith("$setElementOrder/"):
            orders[key.partition("/")[2]] = value
        elif key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            merged[field] = [item for item in merged.get(field, []) if item not in value]
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge(merged.get(key), value, key)
    for field, order in orders.items():
        if isinstance(merged.get(field), list):
            merged[field] = _ordered(merged[field], order, field)
    return merged


def _merge_lists(target: list[Any], patch: list[Any], name: str) -> list[Any]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item != {"$patch": "replace"}]
    if name in PRIMITIVE_MERGES:
        return target + [item for item in patch if item not in target]
    key = merge_key(name, target + patch)
    if key is None:
        return copy.deepcopy(patch)
    merged = list(target)
    for item in patch:
        if item.get(key) is None:
            raise ApiError(400, f"map: {item} does not contain declared merge key: {key}")
        at = next((i for i, old in enumerate(merged) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != item[key]]
        elif at is None:
            merged.append(copy.deepcopy(item))
        else:
            merged[at] = _merge_maps(merged[at], item)
    return merged


def _ordered(items: list[Any], order: list[Any], name: str) -> list[Any]:
    key = merge_key(name, items)

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    rank = {identity(item): number for number, item in enumerate(order)}
    return sorted(items, key=lambda item: rank.get(identity(item), len(rank)))


def json_patch(target: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply a JSON patch.

    Raises
    ------
    ApiError
        If an operation does not fit the object: 422, as a real server has it.
    """
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply_operation(document, operation)
        except (KeyError, IndexError, ValueError, TypeError, AssertionError) as error:
            raise ApiError(
                422, f"the server rejected our request due to an error in our request: {error}"
            ) from error
    return document


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _at(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[int(step) if isinstance(document, list) else step]
    return document


def _apply_operation(document: Any, operation: dict[str, Any]) -> Any:
    op, steps = operation["op"], _steps(operation["path"])
    if op == "test":
        if _at(document, steps) != operation["value"]:
            raise ValueError(f"testing value {operation['path']} failed")
        return document
    if op in ("move", "copy"):
        origin = _steps(operation["from"])
        value = copy.deepcopy(_at(document, origin))
        if op == "move":
            document = _apply_operation(document, {"op": "remove", "path": operation["from"]})
        return _apply_operation(document, {"op": "add", "path": operation["path"], "value": value})
    if not steps:
        return operation["value"]
    parent, last = _at(document, steps[:-1]), steps[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if op == "add":
            parent.insert(index, operation["value"])
        elif op == "replace":
            parent[index] = operation["value"]
        elif op == "remove":
            del parent[index]
        else:
            raise ValueError(f"unexpected kind: {op}")
    elif op == "add":
        parent[last] = operation["value"]
    elif op == "replace":
        if last not in parent:
            raise KeyError(last)
        parent[last] = operation["value"]
    elif op == "remove":
        del parent[last]
    else:
        raise ValueError(f"unexpected kind: {op}")
    return document
