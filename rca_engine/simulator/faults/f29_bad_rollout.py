# SPDX-License-Identifier: Apache-2.0
"""F29: a new configuration of the service allows too short prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.faults._base import Fault


class BadRollout(Fault):
    """Roll out a max_model_len that is too small."""

    id = "F29"
    name = "bad_rollout"
    layer = "change"
    summary = "The service is rolled out with too small a max_model_len."
    symptoms = (
        "The configuration's generation steps up at once; prompts above the limit get "
        "status 400; what is served is served as before."
    )
    targets = ("service",)
    metrics = ("service_config_generation",)
    defaults: ClassVar[Mapping[str, float]] = {"max_model_len": 1800.0}

    def _give(self, cluster: Cluster, now: float) -> None:
        cluster.generation.set(now, cluster.generation.value + 1)
        cluster.max_prompt_tokens.set(now, self.parameters["max_model_len"])
        cluster.event(now, self.target, "RolloutStarted", "serveConfigV2 changed: max_model_len")

    def _revert(self, cluster: Cluster, now: float) -> None:
        cluster.generation.set(now, cluster.generation.value + 1)
        cluster.max_prompt_tokens.restore(now)
        cluster.event(now, self.target, "RolloutStarted", "serveConfigV2 rolled back")
