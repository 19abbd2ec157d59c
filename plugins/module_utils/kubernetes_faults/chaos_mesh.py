# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults by Chaos Mesh: what is asked of it, what it says of it, and when it counts as given.

Of a dose its records tell more than its conditions, and neither proves it: that Chaos Mesh has
recovered a target means that it has tried. So whatever can be seen at the target itself is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from ..faults import times
from ..faults.contract import Target
from ..faults.errors import NotRevertedError, RefusedError
from ..faults.undo import Undo
from ..faults.undo_action import UndoAction
from .api import EVENT, KINDS, ApiError, Kind, Object
from .cluster import ClusterPod
from .fault import ClusterFault
from .undo_actions import AwaitPods

_INJECTED = "Injected"
_LOOK_S = 1.0
_NOT_FOUND = 404
_UNSEEN = (
    "the effect can't be seen at the target itself: that it was given, and taken back, is what "
    "Chaos Mesh's records say"
)


class ChaosFault(ClusterFault):
    """A fault that one experiment of Chaos Mesh gives to exactly one pod.

    The experiment's own duration is the outermost of its ends: past it the controller of Chaos Mesh
    takes the dose away, whatever has become of this machine.
    """

    requirements = "Chaos Mesh (role chaos_mesh), which acts in the lab's namespace."
    give_deadline_s = 30.0
    chaos_kind: ClassVar[str]
    # It acts on one container of the pod, and not on its network or all of it.
    on_container: ClassVar[bool] = False
    # Whether the API shows the effect at the target.
    seen: ClassVar[bool] = True

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self.pod: ClusterPod = self.at.cluster_pod
        self._begin = self._looked = 0.0
        self._asked_ns = 0
        self._records: list[Object] = []

    def spec(self) -> Object:
        """Return what the experiment does, without target and duration."""
        raise NotImplementedError

    def render(self) -> Object:
        """Return the experiment."""
        container = {"containerNames": [self.pod.container["name"]]} if self.on_container else {}
        return {
            "apiVersion": self._kind.api_version,
            "kind": self._kind.name,
            "metadata": self.metadata(),
            "spec": {
                "mode": "one",
                "selector": {"pods": {self.pod.namespace: [self.pod.name]}},
                "duration": f"{self.lifetime_s:.0f}s",
                **container,
                **self.spec(),
            },
        }

    @property
    def _kind(self) -> Kind:
        return KINDS[self.chaos_kind]

    def intended_dose(self) -> dict[str, float]:
        return {}

    def preflight(self) -> None:
        """Look also whether Chaos Mesh would take the experiment: its webhook answers or not.

        Raises
        ------
        RefusedError
            As above, and if Chaos Mesh would refuse it.
        """
        super().preflight()
        try:
            self.api.create(self._kind, self.render(), dry_run=True)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                raise RefusedError(
                    f"the cluster has no {self.chaos_kind}: install Chaos Mesh (playbook "
                    f"install_chaos)"
                ) from error
            raise RefusedError(f"Chaos Mesh would not take the fault: {error}") from error
        except OSError as error:
            raise RefusedError(f"the cluster can't be asked: {error}") from error

    def _capture(self) -> tuple[UndoAction, ...]:
        self._observe()
        return (self.made(self._kind),)

    def _observe(self) -> None:
        """Look at the target before the dose."""

    def _give(self) -> None:
        self._begin, self._asked_ns = time.monotonic(), time.time_ns()
        if not self.sham:
            self.api.create(self._kind, self.render())

    def _experiment(self) -> Object:
        """Return the experiment as it is; raise OSError if it is gone."""
        metadata = self.metadata()
        found = self.api.get(self._kind, metadata["namespace"], metadata["name"])
        if found is None:
            raise OSError(f"something else has deleted {self.chaos_kind} {metadata['name']}")
        return found

    def missing_dose(self) -> str | None:
        if self.sham:
            return None
        experiment = self._experiment()
        records = records_of(experiment)
        if records and all(is_given(each) for each in records):
            self._records = records
            return None
        said = [*failures(records), *self._warnings()]
        held = conditions(experiment)
        if not held.get("Selected"):
            said.insert(0, "it has selected no target")
        return f"Chaos Mesh says: {'; '.join(said) or f'nothing but {held}'}"

    def _warnings(self) -> list[str]:
        """Return what Chaos Mesh complains of, once each."""
        fields = f"involvedObject.name={self.metadata()['name']},type=Warning"
        events = self.api.objects(EVENT, self.cluster.namespace, fields=fields)
        return list(dict.fromkeys(str(each.get("message", "")) for each in events))

    def given_at(self) -> str | None:
        """Return when the last of the targets got its dose, by the records.

        They tell whole seconds, by the cluster's clock: the time is held between the question and
        now.
        """
        told = [given for each in self._records if (given := given_ns(each)) is not None]
        if not told:
            return None
        return times.format_utc(min(max(*told, self._asked_ns), time.time_ns()))

    def remarks(self) -> list[str]:
        said = [] if self.seen else [_UNSEEN]
        for record in self._records:
            given = [e["timestamp"] for e in applied_events(record)]
            when = f" at {given[-1]} by its own clock" if given else ""
            said.append(f"Chaos Mesh injected {self.chaos_kind} into {record['id']}{when}")
        return said

    def verify_effect(self) -> bool:
        return self._look() if self.seen else not self.sham

    def _look(self) -> bool:
        """Look at the target once and say whether the dose acts on it."""
        raise NotImplementedError

    def disturbance(self) -> str | None:
        """Look once a second whether the dose is still given to the pod that it was meant for."""
        if time.monotonic() - self._looked < _LOOK_S:
            return None
        self._looked = time.monotonic()
        now = self.cluster.pod(self.pod)
        if now is None:
            return f"pod {self.pod.name} was replaced under the fault"
        if now.restarts != self.pod.restarts:
            return f"a container of pod {self.pod.name} was restarted under the fault"
        if not self.sham and any(
            record["phase"] != _INJECTED for record in records_of(self._experiment())
        ):
            return "Chaos Mesh has ended the dose"
        return None

    def measured_dose(self) -> dict[str, float]:
        return {}

    def verify_reverted(self, undo: Undo) -> None:
        super().verify_reverted(undo)
        if self.sham or not self.seen or not self._begin:
            return
        try:
            # With a pod that is gone, so is all that was done to it.
            left = None if self.cluster.pod(self.pod) is None else self._remainder()
        except OSError as error:
            left = f"the target can't be looked at: {error}"
        if left is not None:
            raise NotRevertedError(left)

    def _remainder(self) -> str | None:
        """Look at the target and say what is not as before yet."""
        return None


class RestartingChaos(ChaosFault):
    """One that ends something: the window goes from that end to the return of the pod.

    Chaos Mesh does it once; the experiment's duration means nothing to it, and its deletion changes
    nothing.
    """

    revert_deadline_s = 900.0
    effect_deadline_s = 60.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._awaited: AwaitPods | None = None
        self._gone_s: float | None = None
        self._back_s: float | None = None

    def _capture(self) -> tuple[UndoAction, ...]:
        self._awaited = self.awaited(self.pod.component)
        return (*super()._capture(), self._awaited)

    def verify_effect(self) -> bool:
        if not self._look():
            return False
        if self._gone_s is None:
            self._gone_s = time.monotonic() - self._begin
        return True

    def disturbance(self) -> str | None:
        return None

    def is_over(self) -> bool:
        """Look once a second whether the pod is back."""
        if time.monotonic() - self._looked < _LOOK_S:
            return False
        self._looked = time.monotonic()
        try:
            return self._awaited is not None and self._awaited.remainder() is None
        except OSError:
            return False  # the window has its end without an answer

    def measured_dose(self) -> dict[str, float]:
        return {} if self._gone_s is None else {"gone_after_s": round(self._gone_s, 3)}

    def verify_reverted(self, undo: Undo) -> None:
        super().verify_reverted(undo)
        if self._gone_s is not None:
            self._back_s = time.monotonic() - self._begin

    def remarks(self) -> list[str]:
        back = [] if self._back_s is None else [f"back {self._back_s:.1f} s after the dose"]
        return [*super().remarks(), *back]


def records_of(experiment: Mapping[str, Any]) -> list[Object]:
    """Return the records of an experiment, one a target."""
    status = experiment.get("status") or {}
    found: list[Object] = (status.get("experiment") or {}).get("containerRecords") or []
    return found


def conditions(experiment: Mapping[str, Any]) -> dict[str, bool]:
    """Return the conditions of an experiment, by their types."""
    found = (experiment.get("status") or {}).get("conditions") or []
    return {each["type"]: each["status"] == "True" for each in found}


def is_given(record: Mapping[str, Any]) -> bool:
    """Say whether a target has its dose: a phase alone may be that of an earlier try."""
    return record["phase"] == _INJECTED and record.get("injectedCount", 0) > 0


def applied_events(record: Mapping[str, Any]) -> list[Object]:
    """Return the events in which the dose was given to a target."""
    return [
        each
        for each in record.get("events") or []
        if (each["operation"], each["type"]) == ("Apply", "Succeeded")
    ]


def given_ns(record: Mapping[str, Any]) -> int | None:
    """Return when a target got its dose, in ns; None where the record does not tell."""
    events = applied_events(record)
    if not events:
        return None
    return round(datetime.fromisoformat(events[-1]["timestamp"]).timestamp() * 1e9)


def failures(records: list[Object]) -> list[str]:
    """Return why doses could not be given, once each."""
    said = [
        f"{record['id']}: {event.get('message', 'failed')}"
        for record in records
        for event in record.get("events") or []
        if event["type"] == "Failed"
    ]
    return list(dict.fromkeys(said))
