# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F02: something else on the node uses its CPUs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from ...faults.catalogue.f02_cpu_noisy_neighbour import NoisyNeighbour as OnHost
from ...faults.contract import DURATION, Target
from ...faults.errors import RefusedError
from ...faults.undo_action import UndoAction
from ..api import JOB, POD, ApiError, Object
from ..cluster import ClusterPod, quantity
from ..fault import ClusterFault, by_default, parameters_of
from ..probes import usage

_LEAST_SHARE = 0.25
_LOOK_S = 2.0
_HOSTNAME = "kubernetes.io/hostname"
_BURN = """
import os
for _worker in range(int(os.environ["CORES"]) - 1):
    if os.fork() == 0:
        break
while True:
    pass
"""


class NoisyNeighbour(ClusterFault, like=OnHost):
    """Run a Job without limits on the node, in the image that a pod of the lab there has anyway."""

    requirements = (
        "The right to create Jobs in the lab's namespace, and Python in the image of the lab's pod "
        "on that node."
    )
    mechanisms = by_default("job")
    parameters = (*parameters_of(OnHost, "cores"), DURATION)
    give_deadline_s = 60.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._node = self.at.cluster_part.manifest
        self._looked = 0.0
        self._cores = 0.0
        self._burner: ClusterPod | None = None

    @property
    def _workers(self) -> int:
        if self.values["cores"]:
            return round(self.values["cores"])
        allocatable = (self._node.get("status") or {}).get("allocatable") or {}
        return math.ceil(quantity(str(allocatable.get("cpu", "1"))))

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("node_pressure_cpu_waiting_rate", "node_cpu_utilisation", "node_load1")

    def intended_dose(self) -> dict[str, float]:
        return {"cores": float(self._workers)}

    def render(self, image: str) -> Object:
        """Return the Job."""
        metadata = self.metadata()
        labels = self._node["metadata"].get("labels") or {}
        hostname = labels.get(_HOSTNAME, self._node["metadata"]["name"])
        return {
            "apiVersion": JOB.api_version,
            "kind": JOB.name,
            "metadata": metadata,
            "spec": {
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "activeDeadlineSeconds": round(self.lifetime_s),
                "template": {
                    "metadata": {key: metadata[key] for key in ("labels", "annotations")},
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": False,
                        "terminationGracePeriodSeconds": 0,
                        "nodeSelector": {_HOSTNAME: hostname},
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [
                            {
                                "name": "burner",
                                "image": image,
                                "imagePullPolicy": "IfNotPresent",
                                "command": ["python3", "-c", _BURN],
                                "env": [{"name": "CORES", "value": str(self._workers)}],
                            }
                        ],
                    },
                },
            },
        }

    def _image(self) -> str:
        here = [p for p in self.cluster.pods() if p.node == self._node["metadata"]["name"]]
        if not here:
            raise RefusedError(f"no pod of the lab runs on {self.at.component} any more")
        return str(here[0].container["image"])

    def preflight(self) -> None:
        super().preflight()
        try:
            self.api.create(JOB, self.render(self._image()), dry_run=True)
        except ApiError as error:
            raise RefusedError(f"the Job would not be taken: {error}") from error
        except OSError as error:
            raise RefusedError(f"the cluster can't be asked: {error}") from error

    def _capture(self) -> tuple[UndoAction, ...]:
        return (self.made(JOB),)

    def _give(self) -> None:
        self.api.create(JOB, self.render(self._image()))

    def missing_dose(self) -> str | None:
        name = self.metadata()["name"]
        found = self.api.objects(POD, self.cluster.namespace, f"job-name={name}")
        for manifest in found:
            phase = (manifest.get("status") or {}).get("phase")
            if phase == "Running":
                self._burner = ClusterPod(self.at.component, manifest)
                return None
            if phase in ("Failed", "Succeeded"):
                raise OSError(f"the burner of Job {name} has ended at once: {phase}")
        return f"Job {name} has no running pod"

    def verify_effect(self) -> bool:
        if self._burner is None or time.monotonic() - self._looked < _LOOK_S:
            return False
        self._looked = time.monotonic()
        try:
            self._cores = usage(self.api, self._burner).cores
        except OSError:
            return False  # the kubelet counts nothing of a new pod for some seconds
        return self._cores >= _LEAST_SHARE * self._workers

    def disturbance(self) -> str | None:
        if self._burner is None or time.monotonic() - self._looked < _LOOK_S:
            return None
        now = self.cluster.pod(self._burner)
        phase = None if now is None else (now.manifest.get("status") or {}).get("phase")
        return None if phase == "Running" else f"the burner has ended: {phase or 'deleted'}"

    def measured_dose(self) -> dict[str, float]:
        return {"cores": round(self._cores, 4)}
