# SPDX-License-Identifier: Apache-2.0
"""vLLM's metric names (as of 0.33), with its labels and bucket bounds."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from loadgen.mock.prefix_cache import BLOCK_TOKENS
from loadgen.mock.settings import MockSettings

_TTFT_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_ITL_BOUNDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0),
)
_REQUEST_BOUNDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
_LABELS = ("model_name", "engine")


@dataclass(frozen=True, slots=True)
class Metrics:
    """The mock's metrics in a registry of their own; every series exists from the start."""

    registry: CollectorRegistry
    running: Gauge
    waiting: Gauge
    kv_cache_usage: Gauge
    prompt_tokens: Counter
    prefix_cache_queries: Counter
    prefix_cache_hits: Counter
    generation_tokens: Counter
    finished: dict[str, Counter]
    ttft_s: Histogram
    itl_s: Histogram
    e2e_s: Histogram
    queue_s: Histogram
    prefill_s: Histogram
    decode_s: Histogram

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)


def make_metrics(settings: MockSettings) -> Metrics:
    """Create vLLM's metrics for one model and one engine."""
    registry = CollectorRegistry()
    prefix, labels = settings.metrics_prefix, (settings.model, "0")

    def gauge(name: str, text: str) -> Gauge:
        return Gauge(prefix + name, text, _LABELS, registry=registry).labels(*labels)

    def counter(name: str, text: str) -> Counter:
        return Counter(prefix + name, text, _LABELS, registry=registry).labels(*labels)

    def histogram(name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        family = Histogram(prefix + name, text, _LABELS, registry=registry, buckets=bounds)
        return family.labels(*labels)

    # An info metric: a gauge of 1 whose labels tell.
    cache = Gauge(
        prefix + "cache_config_info",
        "The KV cache's configuration.",
        ("block_size", "num_gpu_blocks", "engine"),
        registry=registry,
    )
    cache.labels(str(BLOCK_TOKENS), str(settings.kv_tokens // BLOCK_TOKENS), "0").set(1)
    finished = Counter(
        prefix + "request_success",
        "Requests that ended, by reason.",
        (*_LABELS, "finished_reason"),
        registry=registry,
    )
    return Metrics(
        registry=registry,
        running=gauge("num_requests_running", "Requests in the running batch."),
        waiting=gauge("num_requests_waiting", "Requests that wait for a place in the batch."),
        kv_cache_usage=gauge("kv_cache_usage_perc", "Share of the KV cache in use, 1 is all."),
        prompt_tokens=counter("prompt_tokens", "Prefilled tokens."),
        prefix_cache_queries=counter("prefix_cache_queries", "Prompt tokens looked up."),
        prefix_cache_hits=counter("prefix_cache_hits", "Prompt tokens found in the prefix cache."),
        generation_tokens=counter("generation_tokens", "Generated tokens."),
        finished={
            reason: finished.labels(*labels, reason)
            for reason in ("stop", "length", "abort", "error")
        },
        ttft_s=histogram("time_to_first_token_seconds", "Time to first token.", _TTFT_BOUNDS),
        itl_s=histogram("inter_token_latency_seconds", "Time between tokens.", _ITL_BOUNDS),
        e2e_s=histogram("e2e_request_latency_seconds", "Time of a request.", _REQUEST_BOUNDS),
        queue_s=histogram("request_queue_time_seconds", "Time waiting.", _REQUEST_BOUNDS),
        prefill_s=histogram("request_prefill_time_seconds", "Time in prefill.", _REQUEST_BOUNDS),
        decode_s=histogram("request_decode_time_seconds", "Time in decode.", _REQUEST_BOUNDS),
    )
