# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults by a plain change of an object: the values that it had are the undo."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..faults.contract import Target
from ..faults.errors import RefusedError
from ..faults.undo_action import UndoAction
from .api import KINDS, RAY_SERVICE, ApiError, Object
from .fault import ClusterFault
from .undo_actions import SetFields, unwell


@dataclass(frozen=True)
class Change:
    """Fields of an object as they are, and as the fault makes them (a merge patch each)."""

    kind: str
    obj: Object
    before: dict[str, Any]
    after: dict[str, Any]


class ChangeFault(ClusterFault):
    """A fault that changes fields of one object."""

    requirements = "The right to change the object, and KubeRay (role kuberay), which acts on it."
    revert_deadline_s = 1800.0
    effect_deadline_s = 240.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._change: Change | None = None
        self._begin = 0.0
        self._generation = 0

    def plan(self) -> Change:
        """Return the change; raise `RefusedError` where there is nothing to change."""
        raise NotImplementedError

    def preflight(self) -> None:
        """Look also whether the API server would take the change.

        Raises
        ------
        RefusedError
            As above, and if the API server would refuse it.
        """
        super().preflight()
        try:
            self._patch(self.plan(), dry_run=True)
        except ApiError as error:
            raise RefusedError(f"the change would not be taken: {error}") from error
        except OSError as error:
            raise RefusedError(f"the cluster can't be asked: {error}") from error

    def _patch(self, change: Change, *, dry_run: bool = False) -> Object:
        name = change.obj["metadata"]["name"]
        namespace = change.obj["metadata"].get("namespace", "")
        return self.api.patch(KINDS[change.kind], namespace, name, change.after, dry_run=dry_run)

    def _capture(self) -> tuple[UndoAction, ...]:
        change = self._change = self.plan()
        metadata = change.obj["metadata"]
        return (
            SetFields(
                self.cluster.kubeconfig,
                self.cluster.context,
                change.kind,
                metadata.get("namespace", ""),
                metadata["name"],
                metadata["uid"],
                change.before,
            ),
        )

    def _give(self) -> None:
        if self._change is None:
            raise OSError("the change is not known")
        self._begin = time.monotonic()
        self._generation = int(self._patch(self._change)["metadata"].get("generation", 0))

    def disturbance(self) -> str | None:
        return None


class ServeConfigFault(ChangeFault):
    """A fault of what Serve is asked to run: the arguments of the engines."""

    kinds = ("service",)

    def engine_kwargs(self) -> dict[str, Any]:
        """Return what the fault gives the engines otherwise."""
        raise NotImplementedError

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("service_config_generation",)

    def plan(self) -> Change:
        service = self._service()
        before = service["spec"].get("serveConfigV2", "")
        try:
            config = json.loads(before)
        except ValueError as error:
            raise RefusedError(
                f"serveConfigV2 of RayService {self._name} is no JSON: {error}"
            ) from error
        engines = [
            engine
            for app in config.get("applications") or []
            for engine in (app.get("args") or {}).get("llm_configs") or []
        ]
        if not engines:
            raise RefusedError(f"RayService {self._name} runs no engine of ray.serve.llm")
        for engine in engines:
            known = engine.get("engine_kwargs") or {}
            self.check_engine(known)
            engine["engine_kwargs"] = {**known, **self.engine_kwargs()}
        after = json.dumps(config)
        fields = ({"spec": {"serveConfigV2": text}} for text in (before, after))
        return Change(RAY_SERVICE.name, service, *fields)

    def check_engine(self, known: dict[str, Any]) -> None:
        """Raise `RefusedError` where the fault would be another than the one that is asked for."""

    @property
    def _name(self) -> str:
        return self.at.cluster_part.name

    def _service(self) -> Object:
        found = self.api.get(RAY_SERVICE, self.cluster.namespace, self._name)
        if found is None:
            raise OSError(f"RayService {self._name} is gone")
        return found

    def taken(self) -> bool:
        """Say whether KubeRay has seen the change."""
        seen = (self._service().get("status") or {}).get("observedGeneration", 0)
        return int(seen) >= self._generation

    def ailing(self) -> list[str]:
        """Return what of the service does not run."""
        return list(unwell(self._service()))

    def _capture(self) -> tuple[UndoAction, ...]:
        return (*super()._capture(), self.awaited("head/ray"))
