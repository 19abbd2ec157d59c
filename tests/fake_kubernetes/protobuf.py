# SPDX-License-Identifier: Apache-2.0
"""Bodies in Kubernetes' protobuf, which helm sends for the kinds that it knows by heart.

A body is `k8s\\0` and a `runtime.Unknown`, in it one message. Only the kinds of ``MESSAGES`` are
read; fields that are not listed are refused, not lost. Answers are JSON: every client takes it.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from .errors import ApiError

MAGIC = b"k8s\x00"

# Field number: name and type. A type in [] repeats, in {} is a map from text.
Fields = dict[int, tuple[str, str]]
MESSAGES: dict[str, Fields] = {
    "Unknown": {
        1: ("typeMeta", "TypeMeta"),
        2: ("raw", "raw"),
        3: ("contentEncoding", "text"),
        4: ("contentType", "text"),
    },
    "TypeMeta": {1: ("apiVersion", "text"), 2: ("kind", "text")},
    "Time": {1: ("seconds", "int"), 2: ("nanos", "int")},
    "OwnerReference": {
        1: ("kind", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "FieldsV1": {1: ("raw", "raw")},
    "ManagedFieldsEntry": {
        1: ("manager", "text"),
        2: ("operation", "text"),
        3: ("apiVersion", "text"),
        4: ("time", "Time"),
        6: ("fieldsType", "text"),
        7: ("fieldsV1", "FieldsV1"),
        8: ("subresource", "text"),
    },
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        4: ("selfLink", "text"),
        5: ("uid", "text"),
        6: ("resourceVersion", "text"),
        7: ("generation", "int"),
        8: ("creationTimestamp", "Time"),
        9: ("deletionTimestamp", "Time"),
        10: ("deletionGracePeriodSeconds", "int"),
        11: ("labels", "{text}"),
        12: ("annotations", "{text}"),
        13: ("ownerReferences", "[OwnerReference]"),
        14: ("finalizers", "[text]"),
        17: ("managedFields", "[ManagedFieldsEntry]"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{bytes}"),
        3: ("type", "text"),
        4: ("stringData", "{text}"),
        5: ("immutable", "bool"),
    },
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{text}"),
        3: ("binaryData", "{bytes}"),
        4: ("immutable", "bool"),
    },
    "Namespace": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "NamespaceSpec"),
        3: ("status", "NamespaceStatus"),
    },
    "NamespaceSpec": {1: ("finalizers", "[text]")},
    "NamespaceStatus": {1: ("phase", "text")},
    "Preconditions": {1: ("uid", "text"), 2: ("resourceVersion", "text")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", "[text]"),
    },
}


def decode(body: bytes) -> dict[str, Any]:
    """Read a body as the object that JSON would have brought.

    Raises
    ------
    ApiError
        415 for a kind or a field that is not known here.
    """
    if not body.startswith(MAGIC):
        raise ApiError(400, "the body is no protobuf of Kubernetes")
    unknown = _message(body[len(MAGIC) :], "Unknown")
    type_meta = unknown.get("typeMeta", {})
    kind = type_meta.get("kind", "")
    if kind not in MESSAGES:
        raise ApiError(415, f"this server reads no protobuf of {kind!r}; send JSON")
    found: dict[str, Any] = type_meta | _message(unknown.get("raw", b""), kind)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(data: bytes, name: str) -> Any:
    fields, at = MESSAGES[name], 0
    found: dict[str, Any] = {}
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number not in fields or wire not in (0, 2):
            raise ApiError(415, f"this server knows no field {number} of {name} in protobuf")
        field, type_ = fields[number]
        value: Any
        if wire == 0:
            value, at = _varint(data, at)
            value = bool(value) if type_ == "bool" else value
        else:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        if type_.startswith("["):
            found.setdefault(field, []).append(_value(value, type_[1:-1]))
        elif type_.startswith("{"):
            key, item = _entry(value, type_[1:-1])
            found.setdefault(field, {})[key] = item
        else:
            found[field] = _value(value, type_)
    if name == "Time":
        at_s = found.get("seconds", 0)
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Go writes empty text for what is not set.
    return {key: value for key, value in found.items() if value not in ("", {}, [])}


def _value(value: Any, type_: str) -> Any:
    if type_ in ("int", "bool", "raw"):
        return value
    if type_ == "text":
        return value.decode()
    if type_ == "bytes":
        return base64.b64encode(value).decode()
    return _message(value, type_)


def _entry(data: bytes, type_: str) -> tuple[str, Any]:
    key, value, at = b"", b"", 0
    while at < len(data):
        tag, at = _varint(data, at)
        size, at = _varint(data, at)
        if tag >> 3 == 1:
            key, at = data[at : at + size], at + size
        else:
            value, at = data[at : at + size], at + size
    return key.decode(), _value(value, type_)
