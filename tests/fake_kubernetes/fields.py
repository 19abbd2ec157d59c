# SPDX-License-Identifier: Apache-2.0
"""The fields of an object as `metadata.managedFields` names them.

A path is a tuple of `f:name`, `k:{"name":"x"}` (an item of a list by its keys) and `v:"x"` (an item
of a set), ending in `.` where it means the item itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .patches import MERGE_KEYS

Path = tuple[str, ...]

# For server-side apply some lists have more keys than for a strategic merge.
LIST_KEYS = {name: (key,) for name, key in MERGE_KEYS.items()} | {
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
SETS = {"finalizers"}
ATOMIC_MAPS = {
    "configMapKeyRef",
    "fieldRef",
    "labelSelector",
    "matchLabels",
    "namespaceSelector",
    "nodeSelector",
    "resourceFieldRef",
    "secretKeyRef",
    "selector",
}
# Whose these are, nobody is asked.
_OWNERLESS = {
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    ),
}


@dataclass(frozen=True)
class Shape:
    """What is known of a value: the name of its field, and for a custom resource its schema."""

    name: str = ""
    schema: dict[str, Any] | None = None
    custom: bool = False

    def field(self, name: str) -> Shape:
        """Return the shape of a field of this map."""
        if not self.custom or (not self.name and name == "metadata"):
            return Shape(name)
        schema = self.schema or {}
        below = (schema.get("properties") or {}).get(name, schema.get("additionalProperties"))
        return Shape(name, below if isinstance(below, dict) else None, custom=True)

    def item(self) -> Shape:
        """Return the shape of an item of this list."""
        below = (self.schema or {}).get("items")
        return Shape("", below, self.custom) if self.custom else Shape(f"{self.name}[]")

    @property
    def atomic_map(self) -> bool:
        """Whether this map has one owner as a whole."""
        if self.custom:
            return (self.schema or {}).get("x-kubernetes-map-type") == "atomic"
        return self.name in ATOMIC_MAPS

    @property
    def is_set(self) -> bool:
        """Whether this list is a set of values."""
        if self.custom:
            return (self.schema or {}).get("x-kubernetes-list-type") == "set"
        return self.name in SETS

    def keys(self, items: list[Any]) -> tuple[str, ...] | None:
        """Return the fields that tell the items of this list apart; None: it is one value."""
        if not all(isinstance(item, dict) for item in items):
            return None
        if self.custom:
            schema = self.schema or {}
            if schema.get("x-kubernetes-list-type") != "map":
                return None
            return tuple(schema["x-kubernetes-list-map-keys"])
        if self.name == "ports":
            inside = any("containerPort" in item for item in items)
            return ("containerPort", "protocol") if inside else ("port", "protocol")
        return LIST_KEYS.get(self.name)


def item_step(item: dict[str, Any], keys: tuple[str, ...]) -> str:
    """Return the step of a path that leads to an item."""
    # The one key that has a default in the built-in kinds.
    known = {k: item.get(k, "TCP" if k == "protocol" else None) for k in keys}
    named = {k: v for k, v in known.items() if v is not None}
    return "k:" + json.dumps(named, sort_keys=True, separators=(",", ":"))


def leaves(value: Any, shape: Shape, path: Path = ()) -> dict[Path, Any]:
    """Return every field that can have an owner, with its value."""
    if path in _OWNERLESS:
        return {}
    found: dict[Path, Any] = {}
    if isinstance(value, dict) and value and not shape.atomic_map:
        for name, below in value.items():
            found |= leaves(below, shape.field(name), (*path, f"f:{name}"))
        return found
    if isinstance(value, list) and value:
        if shape.is_set:
            return {(*path, "v:" + json.dumps(item)): item for item in value}
        if keys := shape.keys(value):
            for item in value:
                at = (*path, item_step(item, keys))
                found[(*at, ".")] = None
                found |= leaves(item, shape.item(), at)
            return found
    return {path: value} if path else {}


def to_fields_v1(paths: set[Path]) -> dict[str, Any]:
    """Write paths as `fieldsV1`."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def from_fields_v1(tree: dict[str, Any], path: Path = ()) -> set[Path]:
    """Read `fieldsV1`."""
    found: set[Path] = set()
    for step, below in tree.items():
        found |= from_fields_v1(below, (*path, step)) if below else {(*path, step)}
    return found


def merge(live: Any, applied: Any, shape: Shape) -> Any:
    """Lay what is applied over what is there, list items by their keys."""
    if isinstance(live, dict) and isinstance(applied, dict) and not shape.atomic_map:
        return live | {
            name: merge(live.get(name), value, shape.field(name)) for name, value in applied.items()
        }
    if isinstance(live, list) and isinstance(applied, list):
        if shape.is_set:
            return live + [item for item in applied if item not in live]
        if keys := shape.keys(live + applied):
            merged = {item_step(item, keys): item for item in live}
            for item in applied:
                step = item_step(item, keys)
                merged[step] = merge(merged.get(step), item, shape.item())
            return list(merged.values())
    return applied


def without(value: Any, paths: set[Path], shape: Shape) -> Any:
    """Return a value less the fields at ``paths``; maps that become empty by it go too."""
    heads: dict[str, set[Path]] = {}
    for path in paths:
        heads.setdefault(path[0], set()).add(path[1:])
    if isinstance(value, dict):
        kept = {}
        for name, below in value.items():
            tails = heads.get(f"f:{name}", set())
            if () in tails:
                continue
            rest = without(below, tails, shape.field(name)) if tails else below
            if not (tails and rest in ({}, [])):
                kept[name] = rest
        return kept
    if isinstance(value, list):
        if shape.is_set:
            return [item for item in value if "v:" + json.dumps(item) not in heads]
        if keys := shape.keys(value):
            items = []
            for item in value:
                tails = heads.get(item_step(item, keys), set())
                if (".",) in tails:
                    continue
                items.append(without(item, tails, shape.item()) if tails else item)
            return items
    return value
