# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faults of a cluster have in common: the marks of their objects, and one at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..faults.contract import ANY_ISOLATION, Fault, Parameter, Target
from ..faults.errors import RefusedError
from ..faults.undo_action import UndoAction
from .api import CHAOS_KINDS, LEASE, NAMESPACE, Api, ApiError, Kind, Object
from .cluster import Cluster, ClusterTarget
from .undo_actions import WINDOW_LABEL, AwaitPods, DeleteObject, still_there

LABELS = {"app.kubernetes.io/managed-by": "rcalab"}
EXPIRES = "rcalab.llm/expires-at"
UNDO = "rcalab.llm/undo"
# A Lease: one fault at a time in a namespace, whichever machine asks for it.
LOCK = "rcalab-fault"
_CONFLICT, _NOT_FOUND = 409, 404
# What an entry of the host's catalogue and its twin say alike.
_SHARED = (
    *("id", "name", "summary", "layer", "symptoms", "kinds"),
    *("sham", "restarts", "needs_confirmation"),
)


def parameters_of(fault: type[Fault], *names: str) -> tuple[Parameter, ...]:
    """Return parameters of another fault, by their names."""
    known = {parameter.name: parameter for parameter in fault.parameters}
    return tuple(known[name] for name in names)


class ClusterFault(Fault):
    """A fault in a cluster; ``like`` is the host's fault of which it is the twin.

    It takes over what it does not say otherwise: id, name, texts and kinds of targets.
    """

    platform = "kubernetes"
    # A request to the API server may take some seconds, and one look is a few.
    lease_s = 30.0
    revert_deadline_s = 60.0
    effect_deadline_s = 45.0

    def __init_subclass__(cls, *, like: type[Fault] | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if like is None:
            return
        for name in _SHARED:
            if name not in vars(cls):
                setattr(cls, name, getattr(like, name))

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        if not isinstance(target, ClusterTarget):
            raise RefusedError(f"{target.component} is in no cluster")
        self.at: ClusterTarget = target
        self._undo: tuple[UndoAction, ...] = ()

    @property
    def cluster(self) -> Cluster:
        """The lab around the target."""
        return self.at.cluster

    @property
    def api(self) -> Api:
        """The cluster's API."""
        return self.at.cluster.api

    @property
    def window(self) -> str:
        """The window's name, as a label may have it."""
        return re.sub(r"[^a-z0-9]+", "-", self.window_id.lower()).strip("-")

    @property
    def lifetime_s(self) -> float:
        """How long an object of this fault may live, should nobody delete it, in seconds.

        What has to be started again after that takes its own time.
        """
        return self.give_deadline_s + self.duration_s + ClusterFault.revert_deadline_s

    def metadata(self, name: str = "") -> Object:
        """Return the metadata of an object of this fault; its name is the window's by default."""
        expires = datetime.now(UTC) + timedelta(seconds=self.lifetime_s)
        return {
            "name": name or f"rcalab-{self.window or 'preflight'}",
            "namespace": self.cluster.namespace,
            "labels": {**LABELS, WINDOW_LABEL: self.window or "preflight"},
            "annotations": {EXPIRES: expires.strftime("%Y-%m-%dT%H:%M:%SZ")},
        }

    def preflight(self) -> None:
        """Look that the namespace is there and no earlier fault is.

        Raises
        ------
        RefusedError
            If not, or if the API server does not answer.
        """
        namespace = self.cluster.namespace
        try:
            if self.api.get(NAMESPACE, "", namespace) is None:
                raise RefusedError(f"there is no namespace {namespace}")
            left = [still_there(kind.name, obj) for kind, obj in left_over(self.api, namespace)]
        except OSError as error:
            raise RefusedError(f"the cluster can't be asked: {error}") from error
        if left:
            raise RefusedError(
                f"an earlier fault is active or has left something: {'; '.join(left)}; wait for "
                f"its end, or run the playbook revert_faults"
            )

    def made(self, kind: Kind, name: str = "") -> DeleteObject:
        """Return what deletes an object of this fault."""
        metadata = self.metadata(name)
        return DeleteObject(
            self.cluster.kubeconfig,
            self.cluster.context,
            kind.name,
            metadata["namespace"],
            metadata["name"],
            self.window,
        )

    def awaited(self, component: str) -> AwaitPods:
        """Return what waits until a component has its pods again, and the service is whole."""
        return AwaitPods(
            self.cluster.kubeconfig,
            self.cluster.context,
            self.cluster.namespace,
            component,
            len(self.cluster.pods_of(component)),
            self.cluster.service,
        )

    def capture(self) -> tuple[UndoAction, ...]:
        self._undo = self._capture()
        return (*self._undo, self.made(LEASE, LOCK))

    def _capture(self) -> tuple[UndoAction, ...]:
        """Return what else puts the target back."""
        raise NotImplementedError

    def inject(self) -> None:
        self._lock()
        self._give()

    def _lock(self) -> None:
        """Take the lock, which holds the undo too: a kubeconfig is enough to carry it out."""
        metadata = self.metadata(LOCK)
        metadata["annotations"][UNDO] = json.dumps([each.to_json() for each in self._undo])
        lease = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": metadata,
            "spec": {"holderIdentity": self.window},
        }
        try:
            self.api.create(LEASE, lease)
        except ApiError as error:
            if error.status == _CONFLICT:
                raise OSError(
                    f"another fault has just begun in namespace {self.cluster.namespace}: one at "
                    f"a time"
                ) from error
            raise

    def _give(self) -> None:
        raise NotImplementedError


def left_over(api: Api, namespace: str) -> list[tuple[Kind, Object]]:
    """Return the objects of faults that are in a namespace, whoever made them.

    Experiments of Chaos Mesh count without our label too: two would mix.
    """
    found = [(LEASE, obj) for obj in api.objects(LEASE, namespace, WINDOW_LABEL)]
    for kind in CHAOS_KINDS:
        try:
            found += [(kind, obj) for obj in api.objects(kind, namespace)]
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
    return found


def by_default(mechanism: str, *others: str) -> dict[str, str | None]:
    """Return mechanisms of which the first is the default."""
    return {mechanism: ANY_ISOLATION, **dict.fromkeys(others)}
