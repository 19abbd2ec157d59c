# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undoes a fault in a cluster: plain data that needs no more than the kubeconfig's path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..faults.errors import RefusedError
from ..faults.undo_action import UndoAction
from .api import KINDS, POD, RAY_SERVICE, Api, Kind, Object, connect
from .cluster import ClusterPod, component_of

# On every object that a fault makes; the value is the window.
WINDOW_LABEL = "rcalab.llm/window"


@dataclass(frozen=True)
class ClusterAction(UndoAction):
    """An action on a cluster, which knows nothing of this machine's restarts."""

    outlives_boot = True
    kubeconfig: str
    context: str | None

    @property
    def _api(self) -> Api:
        try:
            return connect(self.kubeconfig, self.context)
        except RefusedError as error:
            raise OSError(str(error)) from error  # may be mended, and is tried again


@dataclass(frozen=True)
class DeleteObject(ClusterAction):
    """Delete an object that the fault made, and see it gone.

    One that a finalizer keeps is still there, and so is what it did.
    """

    kind = "delete_object"
    object_kind: str
    namespace: str
    name: str
    window: str

    @property
    def _kind(self) -> Kind:
        return KINDS[self.object_kind]

    def _found(self) -> Object | None:
        obj = self._api.get(self._kind, self.namespace, self.name)
        # Another's object of the same name is left alone.
        labels = {} if obj is None else obj["metadata"].get("labels") or {}
        return obj if labels.get(WINDOW_LABEL) == self.window else None

    def restore(self) -> None:
        found = self._found()
        if found is not None and "deletionTimestamp" not in found["metadata"]:
            self._api.delete(self._kind, self.namespace, self.name)

    def remainder(self) -> str | None:
        found = self._found()
        return None if found is None else still_there(self.object_kind, found)


@dataclass(frozen=True)
class SetFields(ClusterAction):
    """Give fields of an object the values that they had; None where there were none."""

    kind = "set_fields"
    object_kind: str
    namespace: str
    name: str
    uid: str
    fields: dict[str, Any]

    def _differing(self) -> list[str]:
        found = self._api.get(KINDS[self.object_kind], self.namespace, self.name)
        # A new object of that name has never had them.
        if found is None or found["metadata"]["uid"] != self.uid:
            return []
        return list(_differences(self.fields, found))

    def restore(self) -> None:
        if self._differing():
            self._api.patch(KINDS[self.object_kind], self.namespace, self.name, self.fields)

    def remainder(self) -> str | None:
        differing = ", ".join(self._differing())
        return f"{self.object_kind} {self.name}: {differing} not as before" if differing else None


@dataclass(frozen=True)
class AwaitPods(ClusterAction):
    """Wait until a component has its pods again, ready, and the service its replicas.

    It is others who start them: KubeRay, a StatefulSet, the kubelet.
    """

    kind = "await_pods"
    namespace: str
    component: str
    count: int
    service: str | None

    def restore(self) -> None:
        """Nothing: it is others who start them."""

    def remainder(self) -> str | None:
        pods = [
            ClusterPod(self.component, manifest)
            for manifest in self._api.objects(POD, self.namespace)
            if component_of(manifest) == self.component
        ]
        ready = sum(pod.is_ready for pod in pods)
        if ready < self.count:
            return f"{ready} of {self.count} pods of {self.component} are ready"
        if self.service is None:
            return None
        found = self._api.get(RAY_SERVICE, self.namespace, self.service)
        ailing = [] if found is None else list(unwell(found))
        return f"RayService {self.service}: {', '.join(ailing)}" if ailing else None


def still_there(kind: str, obj: Object) -> str:
    """Say that an object has not gone, and what keeps it."""
    metadata = obj["metadata"]
    kept = ", ".join(metadata.get("finalizers") or [])
    reason = f" waits for {kept}" if kept and "deletionTimestamp" in metadata else ""
    return f"{kind} {metadata['namespace']}/{metadata['name']} is still there{reason}"


def _differences(wanted: dict[str, Any], found: Any, above: str = "") -> Iterator[str]:
    for name, value in wanted.items():
        current = found.get(name) if isinstance(found, dict) else None
        if isinstance(value, dict):
            yield from _differences(value, current, f"{above}{name}.")
        elif current != value:
            yield f"{above}{name}"


def unwell(service: Object) -> Iterator[str]:
    """Name what does not run of a RayService, as KubeRay has seen it of Serve."""
    active = (service.get("status") or {}).get("activeServiceStatus") or {}
    for name, app in (active.get("applicationStatuses") or {}).items():
        if app.get("status") != "RUNNING":
            yield f"application {name} is {app.get('status')}"
        for deployment, told in (app.get("serveDeploymentStatuses") or {}).items():
            if told.get("status") != "HEALTHY":
                yield f"deployment {deployment} is {told.get('status')}"


ACTIONS = (DeleteObject, SetFields, AwaitPods)
