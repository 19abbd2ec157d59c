# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F04: a container's memory passes its limit, and the kernel kills the engine."""

from __future__ import annotations

from ...faults.catalogue.f04_oom_kill import OomKill as OnHost
from ...faults.contract import DURATION
from ...faults.errors import RefusedError
from ..api import Object
from ..chaos_mesh import RestartingChaos
from ..fault import by_default
from ..probes import usage

_MIB = 1024 * 1024
# Beyond the limit: the kernel gives page cache back before it kills.
_SPARE_MIB = 1024
_NODE_RESERVE_MIB = 1024


class OomKill(RestartingChaos, like=OnHost):
    """Take more memory in a container than its limit leaves.

    The kernel kills all of the container, or with `singleProcessOOMKill` of the kubelet the
    process with the worst score, for which Ray gives its workers the worst there is.
    """

    chaos_kind = "StressChaos"
    on_container = True
    summary = "The container's memory limit is passed, and the kernel kills the engine."
    symptoms = (
        "The container's last end is OOMKilled and its restarts count up; its tokens cease, "
        "requests in it fail; the others take its share until it is ready."
    )
    requirements = "Chaos Mesh (role chaos_mesh), and a memory limit of the pod's container."
    mechanisms = by_default("stress_chaos")
    parameters = (DURATION,)

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("oom_killed_last", "restarts_rate", "engine_generation_tokens_rate")

    def intended_dose(self) -> dict[str, float]:
        return {"oom_kills": 1.0}

    def _size_mib(self) -> int:
        limit = self.pod.limit("memory")
        if limit is None:
            raise RefusedError(f"pod {self.pod.name} has no memory limit to pass")
        return round(limit / _MIB) + _SPARE_MIB

    def spec(self) -> Object:
        memory = {"workers": 1, "size": f"{self._size_mib()}MiB"}
        return {"stressors": {"memory": memory}}

    def preflight(self) -> None:
        super().preflight()
        try:
            now = usage(self.api, self.pod)
        except OSError as error:
            raise RefusedError(f"the node's memory is not known: {error}") from error
        # No more is taken than the limit leaves; the node must not be the one that runs out.
        wanted = (self.pod.limit("memory") or 0.0) - now.working_set_bytes
        if wanted + _NODE_RESERVE_MIB * _MIB > now.free_bytes:
            raise RefusedError(
                f"the node has {now.free_bytes // _MIB} MiB left, and the fault would take "
                f"{wanted / _MIB:.0f} MiB: other pods might be killed"
            )

    def _kills(self) -> int:
        now = self.cluster.pod(self.pod)
        if now is None or now.restarts == self.pod.restarts:
            return 0
        ended = (now.status.get("lastState") or {}).get("terminated") or {}
        return int(ended.get("reason") == "OOMKilled")

    def _look(self) -> bool:
        return self._kills() > 0

    def measured_dose(self) -> dict[str, float]:
        return {"oom_kills": float(self._kills()), **super().measured_dose()}
