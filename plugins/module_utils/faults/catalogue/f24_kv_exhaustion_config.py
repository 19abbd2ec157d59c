# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F24: the engines start again with too few KV blocks, at an unchanged load."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..contract import Parameter, Target
from ..engine_metrics import Sample, newest_cache
from ..errors import RefusedError
from ..serve_config_fault import NEEDS, ROLLOUT_S, EngineConfigFault


class KvExhaustionByConfig(EngineConfigFault):
    """Roll out a ``num_gpu_blocks_override`` that is far too low."""

    id = "F24"
    name = "kv_exhaustion_config"
    summary = "The service is rolled out with far too small a KV cache."
    layer = "config"
    symptoms = (
        "At an unchanged load KV use goes up in one replica after the other, each just after a "
        "start of its engine; preemptions and waiting requests follow; the cache's size is not "
        "what it was. The rollout starts the ingress anew too: for a moment nobody is served."
    )
    requirements = (
        f"{NEEDS} The lab's Prometheus, up since the engines' start: only then they tell their "
        f"cache's size. KV use rises on any engine; preemptions need a load whose prompts fill the "
        f"small cache."
    )
    parameters = (
        Parameter("kv_blocks", 0, 0, 1000000, "Blocks; 0 for what one longest request takes."),
        ROLLOUT_S,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._blocks = round(self.values["kv_blocks"])
        self._small = 0

    def root_causes(self) -> dict[str, tuple[str, ...]]:
        metrics = (
            "engine_kv_cache_usage_ratio",
            "engine_preemptions_rate",
            "engine_requests_waiting",
        )
        pods = [pod.component for pod in self.target.lab.pods]
        replicas = [component for component in pods if component.startswith("replica/")]
        return {**super().root_causes(), **dict.fromkeys(replicas, metrics)}

    def intended_dose(self) -> dict[str, float]:
        return {"replicas": float(len(self.target.lab.replica_addresses()))}

    def preflight(self) -> None:
        super().preflight()
        engine, now = self.target.lab.need_engine(), self._find_cache()
        tokens = int(now.labels["block_size"])
        # vLLM keeps one block for itself, and refuses to start where the longest does not fit.
        least = math.ceil(engine.max_model_len / tokens) + 1
        self._blocks = self._blocks or least
        if self._blocks < least:
            raise RefusedError(
                f"kv_blocks must be {least} or more: with less {engine.model} would not start "
                f"(max_model_len {engine.max_model_len}, blocks of {tokens} tokens)"
            )
        if self._blocks >= int(now.labels["num_gpu_blocks"]):
            raise RefusedError(
                f"the cache has {now.labels['num_gpu_blocks']} blocks, and {self._blocks} are no "
                f"less"
            )

    def _find_cache(self) -> Sample:
        """Return what some engine has told of its cache."""
        try:
            found = [each for address in self._addresses() if (each := self._cache(address))]
        except OSError as error:
            raise RefusedError(f"the size of the KV caches can't be asked: {error}") from error
        if not found:
            raise RefusedError(
                "Prometheus has not seen an engine tell the size of its KV cache "
                "(cache_config_info), which they do when they start: deploy the service anew"
            )
        return found[0]

    def _addresses(self) -> tuple[str, ...]:
        return self.target.lab.replica_addresses()

    def _cache(self, address: str) -> Sample | None:
        """Return what the newest engine there has told."""
        if self.target.lab.prometheus is None:
            raise OSError("lab.json names no Prometheus")
        return newest_cache(self.target.lab.prometheus, address)

    def _is_small(self, address: str) -> bool:
        cache = self._cache(address)
        return cache is not None and cache.labels["num_gpu_blocks"] == str(self._blocks)

    def _engine_kwargs(self) -> dict[str, int]:
        return {"num_gpu_blocks_override": self._blocks}

    def _look(self) -> bool:
        """Count the replicas that are ready with the small cache."""
        small = sum(
            self._is_small(address) and self._service.runs_at(address)
            for address in self._addresses()
        )
        self._small = max(self._small, small)
        return small > 0

    def _remainder(self) -> str | None:
        small = [address for address in self._addresses() if self._is_small(address)]
        return f"the cache is still small at {', '.join(small)}" if small else None

    def measured_dose(self) -> dict[str, float]:
        return {"kv_blocks": float(self._blocks), "replicas": float(self._small)}
