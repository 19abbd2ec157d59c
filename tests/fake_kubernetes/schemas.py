# SPDX-License-Identifier: Apache-2.0
"""What the schema of a custom resource does to an object: defaults, pruning, refusals."""

from __future__ import annotations

import copy
import re
from typing import Any

Schema = dict[str, Any]
Causes = list[tuple[str, str]]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
# Beside the properties of the schema, every object has these.
_ROOT = {"apiVersion", "kind", "metadata"}


def with_defaults(value: Any, schema: Schema) -> Any:
    """Return the value with the schema's defaults where it says nothing."""
    if isinstance(value, dict):
        value = dict(value)
        for name, below in (schema.get("properties") or {}).items():
            if name not in value and "default" in below:
                value[name] = copy.deepcopy(below["default"])
            if name in value:
                value[name] = with_defaults(value[name], below)
        if isinstance(below := schema.get("additionalProperties"), dict):
            known = schema.get("properties") or {}
            value |= {n: with_defaults(v, below) for n, v in value.items() if n not in known}
        return value
    if isinstance(value, list) and (below := schema.get("items")):
        return [with_defaults(item, below) for item in value]
    return value


def pruned(value: Any, schema: Schema, path: str = "", root: bool = True) -> tuple[Any, list[str]]:
    """Return the value without the fields that the schema does not know, and the paths of those."""
    unknown: list[str] = []
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        rest = schema.get("additionalProperties")
        keep_all = schema.get("x-kubernetes-preserve-unknown-fields") or rest is True
        if schema.get("x-kubernetes-embedded-resource"):
            keep_all = keep_all or not properties
        kept = {}
        for name, item in value.items():
            at = f"{path}.{name}" if path else name
            below = properties.get(name, rest if isinstance(rest, dict) else None)
            if root and name in _ROOT:
                kept[name] = item
            elif below is not None:
                kept[name], missed = pruned(item, below, at, root=False)
                unknown += missed
            elif keep_all:
                kept[name] = item
            else:
                unknown.append(at)
        return kept, unknown
    if isinstance(value, list) and (below := schema.get("items")):
        items = []
        for number, item in enumerate(value):
            kept_item, missed = pruned(item, below, f"{path}[{number}]", root=False)
            items.append(kept_item)
            unknown += missed
        return items, unknown
    return value, unknown


def faults(value: Any, schema: Schema, path: str = "") -> Causes:
    """Return the fields that break the schema, each with a sentence."""
    if value is None:
        return [] if schema.get("nullable") else [(path, "Invalid value: null")]
    wrong_type = _type_fault(value, schema, path)
    if wrong_type:
        return [wrong_type]
    found = _scalar_faults(value, schema, path)
    if isinstance(value, dict):
        found += [
            (f"{path}.{name}" if path else name, "Required value")
            for name in schema.get("required") or []
            if name not in value
        ]
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            below = properties.get(name, rest if isinstance(rest, dict) else None)
            if below is not None and not (not path and name in _ROOT):
                found += faults(item, below, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += faults(item, schema.get("items") or {}, f"{path}[{number}]")
        for limit, too in (("minItems", len(value).__lt__), ("maxItems", len(value).__gt__)):
            if limit in schema and too(schema[limit]):
                found.append((path, f"Invalid value: {len(value)} items, {limit} {schema[limit]}"))
    return found


def _type_fault(value: Any, schema: Schema, path: str) -> tuple[str, str] | None:
    if schema.get("x-kubernetes-int-or-string"):
        allowed: tuple[type, ...] = (int, str)
        wanted = "integer or string"
    elif "type" in schema:
        wanted = schema["type"]
        allowed = _TYPES[wanted]
    else:
        return None
    is_bool = isinstance(value, bool)
    if isinstance(value, allowed) and (not is_bool or bool in allowed):
        return None
    return path, f'Invalid value: "{_type_name(value)}": must be of type {wanted}'


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return next((name for name, types in _TYPES.items() if isinstance(value, types)), "null")


def _scalar_faults(value: Any, schema: Schema, path: str) -> Causes:
    found: Causes = []
    if "enum" in schema and value not in schema["enum"]:
        listed = ", ".join(f'"{item}"' for item in schema["enum"])
        found.append((path, f'Unsupported value: "{value}": supported values: {listed}'))
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append((path, f"Invalid value: \"{value}\": should match '{schema['pattern']}'"))
        if len(value) < schema.get("minLength", 0):
            found.append((path, f"Invalid value: must have {schema['minLength']} characters"))
        if len(value) > schema.get("maxLength", len(value)):
            found.append((path, f"Too long: may not be longer than {schema['maxLength']}"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            found.append((path, f"Invalid value: {value}: should be >= {schema['minimum']}"))
        if value > schema.get("maximum", value):
            found.append((path, f"Invalid value: {value}: should be <= {schema['maximum']}"))
    return found
