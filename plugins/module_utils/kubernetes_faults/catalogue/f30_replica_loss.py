# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F30: the service loses a replica, and is not given it back for a while."""

from __future__ import annotations

import copy

from ...faults.catalogue.f30_replica_loss import ReplicaLoss as OnHost
from ...faults.errors import RefusedError
from ...faults.undo_action import UndoAction
from ..api import RAY_CLUSTER
from ..change_fault import Change, ChangeFault
from ..cluster import ClusterPod
from ..fault import by_default


class ReplicaLoss(ChangeFault, like=OnHost):
    """Scale the replica's worker group to none.

    It is the RayCluster that is changed: KubeRay leaves the numbers in it alone, and does not look
    at those of the RayService again.
    """

    summary = "A replica's worker group is scaled to none, and back at the end."
    symptoms = (
        "The pod is gone and nothing of it fails again; the service has one replica less, and the "
        "others take its share: they queue where the load needs all."
    )
    requirements = "KubeRay (role kuberay), with a worker group for each replica."
    mechanisms = by_default("scale_down")
    parameters = OnHost.parameters

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("pod_ready", "up", "engine_generation_tokens_rate")

    def root_causes(self) -> dict[str, tuple[str, ...]]:
        return {**super().root_causes(), "service/llm": ("service_replicas_healthy",)}

    def intended_dose(self) -> dict[str, float]:
        return {"replicas_lost": 1.0}

    @property
    def _pod(self) -> ClusterPod:
        return self.at.cluster_pod

    def plan(self) -> Change:
        labels = self._pod.manifest["metadata"].get("labels") or {}
        name, group = labels.get("ray.io/cluster"), labels.get("ray.io/group")
        found = name and self.api.get(RAY_CLUSTER, self._pod.namespace, name)
        if not found:
            raise RefusedError(f"pod {self._pod.name} is of no RayCluster: nothing to scale")
        before = found["spec"].get("workerGroupSpecs") or []
        after = copy.deepcopy(before)
        [scaled] = [each for each in after if each["groupName"] == group]
        scaled |= {"replicas": 0, "minReplicas": 0}
        fields = ({"spec": {"workerGroupSpecs": groups}} for groups in (before, after))
        return Change(RAY_CLUSTER.name, found, *fields)

    def _capture(self) -> tuple[UndoAction, ...]:
        return (*super()._capture(), self.awaited(self._pod.component))

    def _lost(self) -> bool:
        return self.cluster.pod(self._pod) is None and not self.cluster.pods_of(self._pod.component)

    def verify_effect(self) -> bool:
        return self._lost()

    def measured_dose(self) -> dict[str, float]:
        return {"replicas_lost": float(self._lost())}
