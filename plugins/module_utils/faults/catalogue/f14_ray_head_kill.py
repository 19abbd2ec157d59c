# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F14: Ray's head is killed, or its control store (GCS) alone."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import ClassVar

from .. import processes
from ..contract import ANY_ISOLATION, DURATION
from ..processes import Process
from ..restart_fault import RestartFault

_GCS = r"/gcs_server\b"


class RayHeadKill(RestartFault):
    """Kill the GCS process, or all of the head's pod.

    Without a store that outlives the head (GCS fault tolerance) either takes the cluster's memory
    with it: the workers join a new cluster, and the undo deploys the service again.
    """

    id = "F14"
    name = "ray_head_kill"
    summary = "Ray's head, or its GCS, is killed and started again, and the service with it."
    layer = "control plane"
    symptoms = (
        "The head's processes and scrapes break off; no request is served until the head is back, "
        "the workers have joined it, and the service is deployed again: minutes."
    )
    kinds = ("head",)
    mechanisms: ClassVar[Mapping[str, str | None]] = {
        "sigkill_gcs": ANY_ISOLATION,
        "sigkill_pod": None,
    }
    parameters = (DURATION,)
    needs_confirmation = True
    revert_deadline_s = 420.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("up", "processes", "serve_http_request_rate")

    def _pattern(self) -> str:
        return _GCS

    def _find_victims(self) -> list[Process]:
        found = self.target.pod.processes()
        if self.mechanism == "sigkill_pod":
            return found
        return [each for each in found if re.search(_GCS, processes.title(each))]

    def _give(self) -> None:
        for victim in self._victims:
            processes.send(victim, signal.SIGKILL)
