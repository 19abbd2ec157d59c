# SPDX-License-Identifier: Apache-2.0
"""Where the objects are: one revision for all, and what changed in which order, for watches."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Place = tuple[str, str]
Name = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One entry of the history; `before` is what a selector matched until then."""

    revision: int
    type: str
    place: Place
    after: Object
    before: Object | None


class Storage:
    """Objects by place (group, plural) and name (namespace, name).

    All methods want the lock held: ``with storage.lock``. Watches wait on it.
    """

    def __init__(self) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.revision = 1000
        self.history: list[Change] = []
        self._objects: dict[Place, dict[Name, Object]] = defaultdict(dict)

    def get(self, place: Place, name: Name) -> Object | None:
        """Return the object itself, which is not to be changed, or None."""
        return self._objects[place].get(name)

    def all(self, place: Place) -> list[Object]:
        """Return the objects of a place in the order of their names."""
        return [obj for _, obj in sorted(self._objects[place].items())]

    def everything(self) -> Iterator[tuple[Place, Object]]:
        """Yield every object."""
        for place in sorted(self._objects):
            for obj in self.all(place):
                yield place, obj

    def put(self, place: Place, obj: Object) -> Object:
        """Keep an object as it is now, at a new revision, and return it."""
        obj = copy.deepcopy(obj)
        name = key_of(obj)
        before = self._objects[place].get(name)
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self._objects[place][name] = obj
        self._note("MODIFIED" if before else "ADDED", place, obj, before)
        return obj

    def remove(self, place: Place, name: Name) -> Object:
        """Drop an object and return its last state."""
        before = self._objects[place].pop(name)
        self.revision += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.revision)
        self._note("DELETED", place, last, before)
        return last

    def _note(self, type_: str, place: Place, after: Object, before: Object | None) -> None:
        self.history.append(Change(self.revision, type_, place, after, before))
        self.lock.notify_all()


def key_of(obj: Object) -> Name:
    """Return namespace and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
