# SPDX-License-Identifier: Apache-2.0
"""Conditions of a status: each of a type, with the time when it last turned."""

from __future__ import annotations

from typing import Any

from . import clock

Condition = dict[str, Any]


def condition(type_: str, value: bool, reason: str = "", message: str = "") -> Condition:
    """Return a condition that has not been placed yet."""
    status = "True" if value else "False"
    made = {"type": type_, "status": status, "lastTransitionTime": clock.now()}
    if reason:
        made["reason"] = reason
    return made | {"message": message}


def placed(old: list[Condition] | None, *new: Condition) -> list[Condition]:
    """Return the conditions with new ones in place; one that says the same keeps its time."""
    result = {item["type"]: item for item in old or []}
    for item in new:
        before = result.get(item["type"])
        if before and before["status"] == item["status"]:
            item = item | {"lastTransitionTime": before["lastTransitionTime"]}
        result[item["type"]] = item
    return list(result.values())


def holds(obj: dict[str, Any], type_: str) -> bool:
    """Whether an object's condition is True."""
    conditions = obj.get("status", {}).get("conditions") or []
    return any(c["type"] == type_ and c["status"] == "True" for c in conditions)
