# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the service's configuration, by Ray Serve's own interface (its REST API)."""

from __future__ import annotations

import copy
import dataclasses
import json
import threading
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from .background import Background
from .contract import ANY_ISOLATION, DURATION, Fault, Target
from .errors import NotRevertedError, RefusedError
from .service import Application, Service
from .undo import Undo
from .undo_action import UndoAction
from .undo_restarts import AwaitService
from .undo_serve import RestoreServeConfig

_LOOK_S = 1.0
NEEDS = (
    "The service on Ray Serve (`llm_service_engine: vllm`), running what the role llm_service has "
    "deployed, and `lab.json`, which tells how Serve is asked."
)
# A rollout goes from replica to replica, and each takes its time to start.
ROLLOUT_S = dataclasses.replace(DURATION, default=180, minimum=10)


class ServeConfigFault(Fault):
    """Deploy another configuration, and in the end exactly the earlier one.

    Serve is asked for the whole of it each time, so what it runs must be what the role llm_service
    has asked for: that file, as it is now, is the undo.
    """

    kinds: ClassVar[tuple[str, ...]] = ("service",)
    requirements = NEEDS
    mechanisms: ClassVar[Mapping[str, str | None]] = {"serve_config": ANY_ISOLATION}
    needs_confirmation = True

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._config: dict[str, Any] = {}
        self._dose: dict[str, Any] = {}
        self._beside = Background(self._watch, "the service is no longer looked at")
        self._acts = False
        self._problem: str | None = None

    @abstractmethod
    def _change(self, application: dict[str, Any]) -> None:
        """Make the dose of an application's configuration."""

    @abstractmethod
    def _look(self) -> bool:
        """Look at the service once and say whether it shows the dose; OSError where it is deaf."""

    @abstractmethod
    def _remainder(self) -> str | None:
        """Say what of the effect is still there once Serve has its earlier configuration."""

    @property
    def _service(self) -> Service:
        return self.target.lab.need_service()

    @property
    def _name(self) -> str:
        return str(self._config["applications"][0]["name"])

    def _deployed(self) -> Application:
        return self._service.application(self._name)

    def preflight(self) -> None:
        self._config = self._read_config()
        try:
            found = self._deployed()
        except OSError as error:
            raise RefusedError(f"the service does not answer ({error}): is it up?") from error
        if not found.runs(self._config["applications"][0]):
            raise RefusedError(
                f"Serve does not run what {self._service.config_file} says, so that would not "
                f"undo the fault: run the role llm_service, which deploys it"
            )
        if found.status != "RUNNING":
            raise RefusedError(f"{self._name} is {found.status}: wait until the service is whole")
        self._service.check_whole(self.target.lab.replica_addresses())

    def _read_config(self) -> dict[str, Any]:
        service = self._service
        if service.kind != "serve" or service.config_file is None:
            raise RefusedError(
                f"{self.id} can't be done: this lab's service is not Ray Serve's "
                f"(llm_service_engine: vllm)"
            )
        path = Path(service.config_file)
        try:
            config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            applications = config["applications"]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RefusedError(f"{path} does not say what Serve was asked for: {error}") from error
        if len(applications) != 1:
            raise RefusedError(f"{path} has {len(applications)} applications, and not one")
        return config

    def capture(self) -> tuple[UndoAction, ...]:
        service = dataclasses.asdict(self._service)
        self._dose = copy.deepcopy(self._config)
        self._change(self._dose["applications"][0])
        return (
            RestoreServeConfig(service, self._name, self._config),
            AwaitService(service, self.target.lab.replica_addresses()),
        )

    def inject(self) -> None:
        self._service.deploy(self._dose)
        self._beside.start()

    def _watch(self, ending: threading.Event) -> None:
        """Look once a second: a service amid a rollout answers late, or not at all."""
        while not ending.wait(_LOOK_S):
            try:
                self._problem = self._find_problem()
                self._acts = self._look() or self._acts
            except OSError:
                continue

    def _find_problem(self) -> str | None:
        found = self._deployed()
        if not found.runs(self._dose["applications"][0]):
            return f"something else has deployed {self._name} anew"
        if found.status == "DEPLOY_FAILED":
            return f"Serve could not deploy the fault's configuration: {found.message[:300]}"
        return None

    def verify_effect(self) -> bool:
        return self._acts

    def disturbance(self) -> str | None:
        return self._beside.failure or self._problem

    def revert(self, undo: Undo) -> None:
        self._beside.let_go()
        super().revert(undo)

    def verify_reverted(self, undo: Undo) -> None:
        super().verify_reverted(undo)
        try:
            left = self._remainder()
        except OSError as error:  # it may be deaf for a moment yet
            left = str(error)
        if left is not None:
            raise NotRevertedError(left)


class EngineConfigFault(ServeConfigFault):
    """A rollout of one other argument of the engines: each is started anew, there and back."""

    restarts = True
    effect_deadline_s = 150.0
    revert_deadline_s = 420.0

    @abstractmethod
    def _engine_kwargs(self) -> dict[str, int]:
        """Return what the engines are started with beside what they had."""

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ()  # no series of the host platform tells of the service's configuration

    def preflight(self) -> None:
        super().preflight()
        application = self._config["applications"][0]
        if not application.get("args", {}).get("llm_configs"):
            raise RefusedError(f"{self._name} has no llm_configs, as ray.serve.llm takes them")

    def _change(self, application: dict[str, Any]) -> None:
        for each in application["args"]["llm_configs"]:
            each.setdefault("engine_kwargs", {}).update(self._engine_kwargs())
