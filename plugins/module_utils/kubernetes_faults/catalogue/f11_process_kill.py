# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F11: a pod, or its container, is killed once; its restart is the long tail."""

from __future__ import annotations

from ...faults.catalogue.f11_process_kill import ProcessKill as OnHost
from ..api import Object
from ..chaos_mesh import RestartingChaos
from ..fault import by_default


class ProcessKill(RestartingChaos, like=OnHost):
    """Delete a pod without grace, or kill its container."""

    chaos_kind = "PodChaos"
    summary = "The pod, or its container, is killed and started again."
    requirements = (
        "Chaos Mesh (role chaos_mesh), and somebody who starts again what ends: KubeRay, a "
        "StatefulSet, the kubelet."
    )
    mechanisms = by_default("pod_kill", "container_kill")
    parameters = OnHost.parameters

    def root_cause_metrics(self) -> tuple[str, ...]:
        if self.pod.component.startswith("gateway/"):
            return ("pod_ready", "up", "nginx_http_requests_rate")
        if self.mechanism == "container_kill":
            return ("restarts_rate", "pod_ready", "up")
        return ("pod_ready", "up", "engine_generation_tokens_rate")

    def intended_dose(self) -> dict[str, float]:
        return {"killed_ratio": 1.0}

    def spec(self) -> Object:
        if self.mechanism == "container_kill":
            return {"action": "container-kill", "containerNames": [self.pod.container["name"]]}
        return {"action": "pod-kill", "gracePeriod": 0}

    def _killed(self) -> bool:
        now = self.cluster.pod(self.pod)
        if now is None or self.mechanism == "pod_kill":
            return now is None
        return now.restarts > self.pod.restarts

    def _look(self) -> bool:
        return self._killed()

    def measured_dose(self) -> dict[str, float]:
        return {"killed_ratio": float(self._killed()), **super().measured_dose()}
