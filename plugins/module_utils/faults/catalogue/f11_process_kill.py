# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F11: a process is killed, once; its restart is the long tail."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import ClassVar

from .. import processes
from ..contract import ANY_ISOLATION, DURATION
from ..processes import Process
from ..restart_fault import RestartFault, engines_or_all


class ProcessKill(RestartFault):
    """Kill a replica's engine, a replica's whole pod, or the gateway."""

    id = "F11"
    name = "process_kill"
    summary = "The pod's engine, or all of the pod, is killed and started again."
    symptoms = (
        "The pod's processes and its tokens fall to none, with `sigkill_pod` its scrapes fail too; "
        "requests in it fail at once; the others take its share until it is ready."
    )
    kinds = ("replica", "gateway")
    mechanisms: ClassVar[Mapping[str, str | None]] = {
        "sigkill": ANY_ISOLATION,
        "sigkill_pod": None,
    }
    parameters = (DURATION,)

    def root_cause_metrics(self) -> tuple[str, ...]:
        if self.target.component.startswith("gateway/"):
            return ("processes", "nginx_http_requests_rate")
        if self.mechanism == "sigkill_pod":
            return ("up", "processes", "engine_generation_tokens_rate")
        return ("processes", "engine_generation_tokens_rate")

    def _find_victims(self) -> list[Process]:
        if self.mechanism == "sigkill_pod":
            return self.target.pod.processes()
        return engines_or_all(self.target)

    def _give(self) -> None:
        for victim in self._victims:
            processes.send(victim, signal.SIGKILL)
