# SPDX-License-Identifier: Apache-2.0
"""Which objects a list or a watch asks for: label selectors and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .errors import ApiError

Test = Callable[[dict[str, Any]], bool]

_SET_BASED = re.compile(r"^(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUALITY = re.compile(r"^(?P<key>[^!=\s]+)\s*(?P<operator>==?|!=)\s*(?P<value>\S*)$")
_REQUIREMENT = re.compile(r",(?![^(]*\))")


def labels_match(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether labels fulfil a LabelSelector object (`matchLabels`, `matchExpressions`)."""
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        value, values = labels.get(expression["key"]), expression.get("values") or []
        held = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held[expression["operator"]]:
            return False
    return True


def label_selector(text: str) -> Test:
    """Read a label selector as a query has it.

    Raises
    ------
    ApiError
        If it cannot be read: 400.
    """
    expressions = []
    for part in filter(None, (p.strip() for p in _REQUIREMENT.split(text))):
        if match := _SET_BASED.match(part):
            values = [v.strip() for v in match["values"].split(",")]
            operator = "In" if match["operator"] == "in" else "NotIn"
            expressions.append({"key": match["key"], "operator": operator, "values": values})
        elif match := _EQUALITY.match(part):
            operator = "NotIn" if match["operator"] == "!=" else "In"
            values = [match["value"]]
            expressions.append({"key": match["key"], "operator": operator, "values": values})
        elif re.fullmatch(r"![^\s!=()]+", part):
            expressions.append({"key": part[1:], "operator": "DoesNotExist"})
        elif re.fullmatch(r"[^\s!=()]+", part):
            expressions.append({"key": part, "operator": "Exists"})
        else:
            raise ApiError(400, f"unable to parse requirement: {part!r}")
    selector = {"matchExpressions": expressions}
    return lambda obj: labels_match(selector, obj["metadata"].get("labels") or {})


def _field(obj: dict[str, Any], path: str) -> str:
    value: Any = obj
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def field_selector(text: str) -> Test:
    """Read a field selector; any field may be asked for, which a real server limits.

    Raises
    ------
    ApiError
        If it cannot be read: 400.
    """
    wanted = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        match = _EQUALITY.match(part)
        if not match:
            raise ApiError(400, f"invalid field selector: {part!r}")
        wanted.append((match["key"], match["operator"] != "!=", match["value"]))
    return lambda obj: all((_field(obj, path) == v) is equal for path, equal, v in wanted)


def selected(labels: str, fields: str) -> Test:
    """Join both selectors of a request."""
    by_label, by_field = label_selector(labels), field_selector(fields)
    return lambda obj: by_label(obj) and by_field(obj)
