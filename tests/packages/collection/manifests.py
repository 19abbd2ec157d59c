# SPDX-License-Identifier: Apache-2.0
"""Whether an object fits the strict schema of its kind, as a server with strict checking would say.

Built-in kinds are checked against the schemas that the package kubernetes-validate brings, custom
ones against their definitions, made strict: a field that is not in the schema is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

# The newest that k3s of the pinned table serves, and the oldest that the roles take.
KUBERNETES = ("1.28", "1.36")

# A definition says of these only that they are there.
_EVERY_OBJECT = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object"},
}
# Keywords of OpenAPI that JSON Schema does not have, or has otherwise.
_NOT_JSON_SCHEMA = {"default", "description", "example", "externalDocs", "format", "nullable"}


def faults(objects: Iterable[dict[str, Any]], definitions: Path) -> list[str]:
    """Return what is wrong with objects, a sentence each.

    Parameters
    ----------
    objects
        As they would be sent.
    definitions
        A folder of CustomResourceDefinitions.
    """
    return [
        f"{obj.get('kind')} {(obj.get('metadata') or {}).get('name')}: {fault}"
        for obj in objects
        for fault in _faults(obj, definitions)
    ]


def _faults(obj: dict[str, Any], definitions: Path) -> Iterator[str]:
    missing = [field for field in ("apiVersion", "kind", "metadata") if not obj.get(field)]
    if missing:
        yield f"lacks {', '.join(missing)}"
        return
    schema = custom_schemas(definitions).get((obj["apiVersion"], obj["kind"]))
    if schema is not None:
        for error in jsonschema.Draft202012Validator(schema).iter_errors(obj):
            yield f"{error.json_path}: {error.message}"
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(obj, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            yield f"Kubernetes {version} has no {obj['apiVersion']} {obj['kind']}, nor a definition"
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {error.json_path}: {error.message}"


@cache
def custom_schemas(definitions: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the strict schema of each custom kind, by apiVersion and kind."""
    found = {}
    for path in sorted(definitions.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for definition in yaml.load_all(text, yaml.CSafeLoader):
            if not definition or definition["kind"] != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                schema = version["schema"]["openAPIV3Schema"]
                root = schema | {"properties": schema.get("properties", {}) | _EVERY_OBJECT}
                found[key] = strict(root)
    return found


def strict(schema: Any) -> Any:
    """Return an OpenAPI schema of a definition as a JSON schema that knows every field."""
    if not isinstance(schema, dict):
        return schema
    result = {key: value for key, value in schema.items() if key not in _NOT_JSON_SCHEMA}
    for key in ("items", "additionalProperties", "not"):
        if key in result:
            result[key] = strict(result[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in result:
            # They add conditions on the same value; its fields are named beside them.
            result[key] = [_loose(each) for each in result[key]]
    if "properties" in result:
        result["properties"] = {name: strict(v) for name, v in result["properties"].items()}
        keeps_all = result.get("x-kubernetes-preserve-unknown-fields")
        if "additionalProperties" not in result and not keeps_all:
            result["additionalProperties"] = False
    if result.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
        result.pop("anyOf", None)
    # Draft 4, of which OpenAPI 3.0 is a dialect, has these as flags.
    for bound in ("Maximum", "Minimum"):
        if isinstance(result.get(f"exclusive{bound}"), bool) and result.pop(f"exclusive{bound}"):
            result[f"exclusive{bound}"] = result.pop(bound.lower())
    if schema.get("nullable") and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    return result


def _loose(schema: Any) -> Any:
    return {k: v for k, v in schema.items() if k not in _NOT_JSON_SCHEMA}
