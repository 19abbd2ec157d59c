# SPDX-License-Identifier: Apache-2.0
"""Who owns which field: server-side apply and the bookkeeping of every other write."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from . import clock
from .errors import ApiError
from .fields import Path, Shape, from_fields_v1, leaves, merge, to_fields_v1, without

Object = dict[str, Any]


@dataclass
class Owner:
    """One entry of `metadata.managedFields`."""

    manager: str
    operation: str
    subresource: str
    api_version: str
    time: str
    paths: set[Path] = field(default_factory=set)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from the others."""
        return self.manager, self.operation, self.subresource


def read(obj: Object) -> list[Owner]:
    """Return the owners that an object names."""
    return [
        Owner(
            manager=entry["manager"],
            operation=entry["operation"],
            subresource=entry.get("subresource", ""),
            api_version=entry["apiVersion"],
            time=entry["time"],
            paths=from_fields_v1(entry["fieldsV1"]),
        )
        for entry in obj["metadata"].get("managedFields") or []
    ]


def _write(obj: Object, owners: list[Owner]) -> None:
    entries = []
    for owner in owners:
        if not owner.paths:
            continue
        entry = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": owner.api_version,
            "time": owner.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(owner.paths),
        }
        if owner.subresource:
            entry["subresource"] = owner.subresource
        entries.append(entry)
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def _own(owners: list[Owner], wanted: Owner) -> Owner:
    """Return the entry of ``wanted`` among ``owners``, added where it is new."""
    for owner in owners:
        if owner.identity == wanted.identity:
            return owner
    owners.append(wanted)
    return wanted


def note_update(
    before: Object | None, after: Object, shape: Shape, manager: str, subresource: str = ""
) -> None:
    """Give the fields that a write changed to its manager, in ``after``."""
    now, then = leaves(after, shape), leaves(before, shape) if before else {}
    changed = {path for path, value in now.items() if path not in then or then[path] != value}
    owners = read(before) if before else []
    for owner in owners:
        owner.paths = (owner.paths & now.keys()) - changed
    if changed:
        owner = _own(
            owners, Owner(manager, "Update", subresource, after["apiVersion"], clock.now())
        )
        owner.paths |= changed
        owner.time = clock.now()
    _write(after, owners)


def apply(
    live: Object | None,
    applied: Object,
    shape: Shape,
    *,
    manager: str,
    force: bool,
    subresource: str = "",
) -> Object:
    """Return what server-side apply makes of an object.

    Raises
    ------
    ApiError
        If another manager owns a field that is to get another value, without ``force``: 409.
    """
    applied = copy.deepcopy(applied)
    applied["metadata"].pop("managedFields", None)
    wanted = leaves(applied, shape)
    there = leaves(live, shape) if live else {}
    owners = read(live) if live else []
    mine = Owner(manager, "Apply", subresource, applied["apiVersion"], clock.now())

    contested: dict[str, set[Path]] = {}
    for owner in owners:
        if owner.identity != mine.identity:
            differing = {p for p in owner.paths & wanted.keys() if there.get(p) != wanted[p]}
            if differing and not force:
                contested[owner.manager] = differing
            owner.paths -= differing
    if contested:
        raise _conflict(contested)

    entry = _own(owners, mine)
    others = set().union(*(o.paths for o in owners if o is not entry))
    given_up = entry.paths - wanted.keys() - others
    if entry.paths != set(wanted):
        entry.paths, entry.time = set(wanted), clock.now()
    merged: Object = merge(live or {}, applied, shape)
    merged = without(merged, given_up, shape)
    merged["metadata"] = dict(merged["metadata"])
    _write(merged, owners)
    return merged


def _conflict(contested: dict[str, set[Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}"',
            "field": "".join(f".{step.partition(':')[2] or step}" for step in path),
        }
        for manager, paths in contested.items()
        for path in sorted(paths)
    ]
    listed = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return ApiError(
        409,
        f"Apply failed with {len(causes)} conflict{'s' * (len(causes) > 1)}: {listed}",
        reason="Conflict",
        details={"causes": causes},
    )
