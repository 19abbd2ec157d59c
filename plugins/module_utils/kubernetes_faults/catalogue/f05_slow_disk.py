# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F05: what a container reads from and writes to a volume takes longer."""

from __future__ import annotations

from ...faults.catalogue.f05_slow_disk import SlowDisk as OnHost
from ...faults.contract import DURATION, Parameter
from ...faults.errors import RefusedError
from ..api import Object
from ..chaos_mesh import ChaosFault
from ..fault import by_default

# These hold what Kubernetes gives a pod, or are memory.
_NO_DISK = ("configMap", "secret", "projected", "downwardAPI")


class SlowDisk(ChaosFault, like=OnHost):
    """Delay every read and write on the first volume of the container that is a disk."""

    chaos_kind = "IOChaos"
    on_container = True
    seen = False
    summary = "Every read and write on the pod's volume takes so many milliseconds longer."
    symptoms = (
        "A start that reads the model from the volume takes longer; steady serving hardly changes: "
        "the model is in memory by then."
    )
    requirements = (
        "Chaos Mesh (role chaos_mesh), and a volume of the pod that is a disk "
        "(`llm_service_model_volume`)."
    )
    mechanisms = by_default("io_chaos")
    parameters = (
        Parameter("delay_ms", 100, 1, 10_000, "How much longer each takes, in milliseconds."),
        DURATION,
    )

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("io_pressure_waiting_rate",)

    def intended_dose(self) -> dict[str, float]:
        return {"delay_ms": self.values["delay_ms"]}

    def preflight(self) -> None:
        self._mount_path()
        super().preflight()

    def _mount_path(self) -> str:
        volumes = {each["name"]: each for each in self.pod.manifest["spec"].get("volumes") or []}
        for mount in self.pod.container.get("volumeMounts") or []:
            volume = volumes.get(mount["name"], {})
            in_memory = (volume.get("emptyDir") or {}).get("medium") == "Memory"
            if not in_memory and not any(name in volume for name in _NO_DISK):
                return str(mount["mountPath"])
        raise RefusedError(
            f"pod {self.pod.name} has no volume that is a disk: nothing to slow down"
        )

    def spec(self) -> Object:
        return {
            "action": "latency",
            "delay": f"{self.values['delay_ms']:g}ms",
            "percent": 100,
            "volumePath": self._mount_path(),
        }
