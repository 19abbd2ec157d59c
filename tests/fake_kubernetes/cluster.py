# SPDX-License-Identifier: Apache-2.0
"""The cluster as its controllers see it: objects, what follows from a change, and later."""

from __future__ import annotations

import copy
import heapq
import itertools
import random
import time
import uuid
from typing import Any

from . import clock, owners
from .fields import Shape
from .kinds import Kind, Kinds
from .script import Script
from .selectors import labels_match
from .storage import Name, Object, Place, Storage, key_of

# More steps than any test needs; a controller that is never content would go on for ever.
_STEPS = 100_000
_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


class Cluster:
    """Objects and controllers. All methods want ``storage.lock`` held."""

    def __init__(self, script: Script, *, operators_always: bool = False) -> None:
        self.storage = Storage()
        self.kinds = Kinds()
        self.script = script
        self.operators_always = operators_always
        # The same names in each run.
        self.random = random.Random(7)
        self._waiting: dict[tuple[Place, Name], None] = {}
        # Namespaces that wait for what they hold to go.
        self._emptying: set[str] = set()
        self._timers: list[tuple[float, int, Place, Name]] = []
        self._count = itertools.count()

    # What is there

    def kind_of(self, obj: Object) -> Kind:
        """Return the kind of an object that is kept."""
        kind = self.kinds.of(obj["apiVersion"], obj["kind"])
        if kind is None:
            raise LookupError(f"no kind {obj['apiVersion']} {obj['kind']} is served")
        return kind

    def find(self, group: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object, or None."""
        known = self.kinds.named(group, kind)
        return self.storage.get(known.place, (namespace, name)) if known else None

    def objects(
        self,
        group: str,
        kind: str,
        namespace: str | None = None,
        selector: dict[str, Any] | None = None,
    ) -> list[Object]:
        """Return the objects of a kind, of one namespace (None: of all), fulfilling a selector."""
        known = self.kinds.named(group, kind)
        return [
            obj
            for obj in (self.storage.all(known.place) if known else [])
            if namespace in (None, obj["metadata"].get("namespace", ""))
            and labels_match(selector or {}, obj["metadata"].get("labels") or {})
        ]

    def dependents(self, owner: Object, group: str, kind: str) -> list[Object]:
        """Return the objects of a kind that an object owns."""
        uid = owner["metadata"]["uid"]
        return [
            obj
            for obj in self.objects(group, kind, owner["metadata"].get("namespace"))
            if any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or [])
        ]

    def is_stuck(self, obj: Object) -> bool:
        """Whether the script keeps an object, or one that owns it, from becoming ready."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        if self.script.never_ready(obj["kind"], namespace, metadata["name"]):
            return True
        for ref in metadata.get("ownerReferences") or []:
            group = ref["apiVersion"].rpartition("/")[0]
            owner = self.find(group, ref["kind"], ref["name"], namespace)
            if owner is not None and self.is_stuck(owner):
                return True
        return False

    # What changes

    def suffix(self, length: int = 5) -> str:
        """Return a new end for a generated name."""
        return "".join(self.random.choices(_SUFFIX, k=length))

    def new_uid(self) -> str:
        """Return a new uid."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def save(self, obj: Object) -> Object:
        """Keep an object, unless it is as it was, and let its controllers look at it."""
        kind = self.kind_of(obj)
        name = key_of(obj)
        before = self.storage.get(kind.place, name)
        if before is not None:
            same = before["metadata"]["resourceVersion"]
            obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": same}}
            if obj == before:
                return before
        kept = self.storage.put(kind.place, obj)
        self.notice(kind.place, kept)
        return kept

    def make(self, obj: Object, owner: Object | None = None) -> Object:
        """Make an object as a controller does, owned by another."""
        obj = copy.deepcopy(obj)
        kind = self.kind_of(obj)
        metadata = obj["metadata"]
        metadata.update(uid=self.new_uid(), creationTimestamp=clock.now())
        if kind.has_status or kind.custom:
            metadata["generation"] = 1
        if owner is not None:
            metadata["ownerReferences"] = [reference(owner)]
        shape = Shape(schema=kind.schema, custom=kind.custom)
        owners.note_update(None, obj, shape, "fake-controller")
        return self.save(obj)

    def change(self, obj: Object, **top_level: Any) -> Object:
        """Replace top-level fields, such as `status`, of an object that is kept."""
        return self.save(obj | copy.deepcopy(top_level))

    def change_metadata(self, obj: Object, **fields: Any) -> Object:
        """Replace fields of an object's metadata; None drops one."""
        merged = obj["metadata"] | fields
        return self.save(obj | {"metadata": {k: v for k, v in merged.items() if v is not None}})

    def delete(self, obj: Object) -> None:
        """Delete an object: at once, or marked as such while it has finalizers."""
        kind = self.kind_of(obj)
        current = self.storage.get(kind.place, key_of(obj))
        if current is None or current["metadata"]["uid"] != obj["metadata"]["uid"]:
            return
        is_namespace = kind.place == ("", "namespaces")
        if current["metadata"].get("finalizers") or is_namespace:
            if "deletionTimestamp" not in current["metadata"]:
                marks = {"deletionTimestamp": clock.now(), "deletionGracePeriodSeconds": 0}
                self.change_metadata(current, **marks)
        else:
            self.drop(current)

    def drop(self, obj: Object) -> None:
        """Remove an object whatever stands against it, and let others know."""
        kind = self.kind_of(obj)
        last = self.storage.remove(kind.place, key_of(obj))
        if kind.name == "CustomResourceDefinition":
            self.kinds.forget(last)
        for ref in last["metadata"].get("ownerReferences") or []:
            self._notice_owner(last, ref)
        self._collect(last)
        namespace = last["metadata"].get("namespace", "")
        if namespace in self._emptying:
            self._waiting[("", "namespaces"), ("", namespace)] = None
        if kind.name == "Namespace":
            self._emptying.discard(last["metadata"]["name"])
        if kind.custom:
            self._notice_definition(kind)
        if kind.name == "Pod":
            # Its place on the node is free.
            for pod in self.objects("", "Pod"):
                if pod.get("status", {}).get("phase") == "Pending":
                    self.notice(kind.place, pod)

    def _notice_definition(self, kind: Kind) -> None:
        name = f"{kind.plural}.{kind.group}"
        self._waiting[_DEFINITIONS, ("", name)] = None

    def await_empty(self, namespace: Object) -> None:
        """Look at a namespace again whenever something in it has gone."""
        self._emptying.add(namespace["metadata"]["name"])

    def _collect(self, gone: Object) -> None:
        """Delete what only the object that is gone has owned."""
        uid = gone["metadata"]["uid"]
        for _, obj in list(self.storage.everything()):
            refs = obj["metadata"].get("ownerReferences") or []
            if not any(ref["uid"] == uid for ref in refs):
                continue
            left = [ref for ref in refs if ref["uid"] != uid]
            if left:
                self.change_metadata(obj, ownerReferences=left)
            else:
                self.delete(obj)

    def event(self, about: Object, type_: str, reason: str, message: str) -> None:
        """Record an Event about an object."""
        metadata = about["metadata"]
        now = clock.now()
        reference_to = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
        }
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{self.suffix(10)}",
                "namespace": metadata.get("namespace") or "default",
            },
            "involvedObject": reference_to,
            "type": type_,
            "reason": reason,
            "message": message,
            "source": {"component": "fake-controller"},
            "reportingComponent": "fake-controller",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        if self.find("", "Namespace", event["metadata"]["namespace"]):
            self.make(event)

    # What follows

    def notice(self, place: Place, obj: Object) -> None:
        """Have an object, and what owns it, looked at by its controller."""
        self._waiting[place, key_of(obj)] = None
        for ref in obj["metadata"].get("ownerReferences") or []:
            self._notice_owner(obj, ref)

    def notice_all(self) -> None:
        """Have every object looked at: what the script allows may be another thing now."""
        for place, obj in self.storage.everything():
            self._waiting[place, key_of(obj)] = None

    def notice_custom(self) -> None:
        """Have every custom resource looked at."""
        for kind in (kind for kind in self.kinds if kind.custom):
            for obj in self.storage.all(kind.place):
                self._waiting[kind.place, key_of(obj)] = None

    def _notice_owner(self, obj: Object, ref: dict[str, Any]) -> None:
        kind = self.kinds.of(ref["apiVersion"], ref["kind"])
        if kind is not None:
            namespace = obj["metadata"].get("namespace", "") if kind.namespaced else ""
            self._waiting[kind.place, (namespace, ref["name"])] = None

    def later(self, seconds: float, obj: Object) -> None:
        """Have an object looked at again after some seconds."""
        due = time.monotonic() + seconds
        place = self.kind_of(obj).place
        heapq.heappush(self._timers, (due, next(self._count), place, key_of(obj)))
        self.storage.lock.notify_all()

    def next_due(self) -> float | None:
        """Return when the next timer is due, on the monotonic clock."""
        return self._timers[0][0] if self._timers else None

    def settle(self) -> None:
        """Let the controllers act until none has anything to do."""
        # Not above: the players are made of what is here.
        from .players import player_of

        while self._timers and self._timers[0][0] <= time.monotonic():
            _, _, place, name = heapq.heappop(self._timers)
            self._waiting[place, name] = None
        for _ in range(_STEPS):
            if not self._waiting:
                return
            place, name = next(iter(self._waiting))
            del self._waiting[place, name]
            obj = self.storage.get(place, name)
            if obj is None:
                continue
            metadata = obj["metadata"]
            leaving = "deletionTimestamp" in metadata and not metadata.get("finalizers")
            if leaving and place != ("", "namespaces"):
                self.drop(obj)
            elif player := player_of(place[0], obj["kind"]):
                player(self, obj)
        raise RuntimeError(f"the controllers do not settle; {place} {name} is among the restless")


def reference(owner: Object) -> dict[str, Any]:
    """Return the reference that makes an object own another."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
