# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F15: the router may give each replica too few requests at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..contract import DURATION, Parameter, Target
from ..engine_metrics import scrape
from ..errors import RefusedError
from ..serve_config_fault import NEEDS, ServeConfigFault
from ..undo_action import UndoAction

# ray.serve.llm's own name of what holds the engine.
_SERVER = "LLMServer"
_QUEUE = "serve_deployment_queued_queries"


class RouterLimit(ServeConfigFault):
    """Lower the number of requests that Serve's router gives a replica at a time.

    Serve changes that in the running replicas, where the configuration named their deployment
    before: one that is named for the first time it starts anew.
    """

    id = "F15"
    name = "router_limit"
    summary = "The router's bound on the ongoing requests of a replica is set too low."
    layer = "control plane"
    symptoms = (
        "Requests queue in the router while the engines idle; the proxy's latency and the client's "
        "time to first token rise; the engines' own latencies stay or fall."
    )
    requirements = (
        f"{NEEDS} The engines' deployment named in the configuration (`deployments`), as that role "
        f"does. A load with more requests in flight than so many a replica: less never queues."
    )
    kinds = ("head",)
    parameters = (
        Parameter("max_ongoing_requests", 1, 1, 1024, "Requests that a replica has at a time."),
        DURATION,
    )
    revert_deadline_s = 60.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._limit = round(self.values["max_ongoing_requests"])
        self._before: dict[str, int] = {}
        self._queued = 0.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("serve_queued_requests",)

    def intended_dose(self) -> dict[str, float]:
        return {"max_ongoing_requests": float(self._limit)}

    def preflight(self) -> None:
        super().preflight()
        self._before = self._limits()
        if not self._before:
            raise RefusedError(f"{self._name} has no deployment {_SERVER}, as ray.serve.llm names")
        if unnamed := self._before.keys() - self._own(self._config["applications"][0]).keys():
            raise RefusedError(
                f"{', '.join(sorted(unnamed))} is not among the deployments that "
                f"{self._service.config_file} names, and Serve would start its replicas anew: run "
                f"the role llm_service"
            )
        if least := [name for name, limit in self._before.items() if limit <= self._limit]:
            raise RefusedError(
                f"{', '.join(least)} has {self._before[least[0]]} requests a replica at most, and "
                f"{self._limit} is no less"
            )
        try:
            scrape(self._metrics_url)
        except OSError as error:
            raise RefusedError(f"the router's queue can't be looked at: {error}") from error

    @property
    def _metrics_url(self) -> str:
        return self.target.lab.need_engine().metrics.format(address=self.target.pod.address)

    def _limits(self) -> dict[str, int]:
        limits = self._deployed().limits.items()
        return {name: limit for name, limit in limits if name.startswith(_SERVER)}

    def capture(self) -> tuple[UndoAction, ...]:
        self._before = self._limits()
        return super().capture()

    def _change(self, application: dict[str, Any]) -> None:
        own = self._own(application)
        for name in self._before:
            own[name]["max_ongoing_requests"] = self._limit

    @staticmethod
    def _own(application: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in application.get("deployments", [])}

    def _look(self) -> bool:
        if set(self._limits().values()) != {self._limit}:
            return False
        queued = sum(
            each.value
            for each in scrape(self._metrics_url)
            if each.name == _QUEUE and each.labels.get("deployment", "").startswith(_SERVER)
        )
        self._queued = max(self._queued, queued)
        return queued > 0

    def measured_dose(self) -> dict[str, float]:
        return {
            "max_ongoing_requests": float(max(self._limits().values())),
            "queued_requests": self._queued,
        }

    def _remainder(self) -> str | None:
        limits = self._limits()
        return None if limits == self._before else f"the limits are {limits}, not {self._before}"
