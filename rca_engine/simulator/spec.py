# SPDX-License-Identifier: Apache-2.0
"""What is simulated: the size of the cluster, the speed of its parts, the load, and when."""

from __future__ import annotations

from dataclasses import dataclass, field

from rca_engine.errors import CaseError
from rca_engine.model import NS
from rcalab_common.slo import Slo
from rcalab_common.times import parse_utc

START_NS = parse_utc("2026-01-05T09:00:00.000000000Z")
GATEWAY, HEAD, SERVICE = "gateway/nginx", "head/ray", "service/llm"
POD_EXPORTER, GPU_EXPORTER = "telemetry/pods", "telemetry/dcgm"
FRONT_LINK = "link/nginx--ray"


@dataclass(frozen=True)
class EngineSpec:
    """One engine replica: a model of some billion parameters on one GPU.

    A step costs the host ``cpu_s + cpu_per_sequence_s * batch`` and the GPU ``decode_s +
    decode_per_sequence_s * batch + prefill_per_token_s * prompt tokens``: decode reads all weights
    whatever the batch (bound by memory), prefill computes token by token (bound by compute).
    """

    max_num_seqs: int = 16
    max_batched_tokens: int = 2048
    kv_tokens: int = 30_000
    cpu_s: float = 0.010
    cpu_per_sequence_s: float = 0.0005
    decode_s: float = 0.011
    decode_per_sequence_s: float = 0.00025
    prefill_per_token_s: float = 0.00012
    tensor_parallel: int = 1


@dataclass(frozen=True)
class ClusterSpec:
    """The cluster: ``replicas`` behind one head and one gateway, on nodes of some replicas each.

    ``max_ongoing`` requests a replica are given by the router, the rest wait in its queue, of
    ``max_queued`` at most. Health checks find a dead replica after ``unhealthy_after_s``.
    """

    replicas: int = 3
    replicas_per_node: int = 2
    cores_per_node: int = 8
    max_ongoing: int = 64
    max_queued: int = 200
    unhealthy_after_s: float = 4.0
    engine: EngineSpec = field(default_factory=EngineSpec)

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise CaseError(f"a cluster has at least one replica, not {self.replicas}")

    def replica_ids(self) -> tuple[str, ...]:
        """Return the replicas' component ids."""
        return tuple(f"replica/llm-{number}" for number in range(self.replicas))

    def node_of(self, number: int) -> str:
        """Return the node (component id) on which replica ``number`` runs."""
        place = number // self.replicas_per_node
        return "node/simulated" if place == 0 else f"node/simulated-{place}"

    def node_ids(self) -> tuple[str, ...]:
        """Return the nodes' component ids; gateway and head run on the first."""
        return tuple(dict.fromkeys(map(self.node_of, range(self.replicas))))

    def gpus_of(self, number: int) -> tuple[str, ...]:
        """Return the GPUs (component ids) of replica ``number``, one a tensor-parallel rank."""
        ranks = self.engine.tensor_parallel
        first = (number % self.replicas_per_node) * ranks
        node = self.node_of(number).split("/")[1]
        return tuple(f"gpu/{node}.{first + rank}" for rank in range(ranks))

    def link_of(self, number: int) -> str:
        """Return the link (component id) between the head and replica ``number``."""
        return f"link/ray--llm-{number}"


@dataclass(frozen=True)
class LoadSpec:
    """The load: ``rate`` requests a second and replica, a shared prefix and a prompt of their own.

    Clients give up after ``first_byte_timeout_s`` without a token, or ``total_timeout_s`` in all.
    """

    rate: float = 2.0
    prefix_tokens: int = 1500
    prompt_tokens: float = 300.0
    output_tokens: float = 60.0
    first_byte_timeout_s: float = 10.0
    total_timeout_s: float = 20.0
    slo: Slo = field(default_factory=lambda: Slo(ttft_ms=600.0, latency_ms=3000.0))


@dataclass(frozen=True)
class Timing:
    """When: all in seconds since the start, which is ``START_NS``."""

    length_s: float = 165.0
    fault_s: tuple[float, float] = (60.0, 105.0)
    scrape_interval_s: float = 1.0
    before_s: float = 6.0
    """How long before the start scrapes began."""

    def __post_init__(self) -> None:
        start, end = self.fault_s
        if not 0 < start < end <= self.length_s:
            raise CaseError(
                f"the fault window {start:g} s to {end:g} s must lie within the run of "
                f"{self.length_s:g} s"
            )
        if self.scrape_interval_s <= 0:
            raise CaseError("the scrape interval must be above 0")


def at_ns(seconds: float) -> int:
    """Return seconds since the start as UTC nanoseconds."""
    return START_NS + round(seconds * NS)
