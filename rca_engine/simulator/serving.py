# SPDX-License-Identifier: Apache-2.0
"""What the serving stack shows when it is scraped: engines, Serve, the proxy and the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.counters import since_start, so_far
from rca_engine.simulator.replica import Replica
from rca_engine.simulator.scraping import Mask, Scraper
from rca_engine.simulator.spec import GATEWAY, HEAD
from rca_engine.simulator.workload import Request
from rca_engine.telemetry.samples import Floats

_HISTOGRAMS = {
    "time_to_first_token_seconds": ("ttft_sum", "ttft_count"),
    "inter_token_latency_seconds": ("itl_sum", "itl_count"),
    "e2e_request_latency_seconds": ("e2e_sum", "done"),
    "request_queue_time_seconds": ("queue_sum", "done"),
    "request_prefill_time_seconds": ("prefill_sum", "done"),
    "request_decode_time_seconds": ("decode_sum", "done"),
    "request_prompt_tokens": ("prompt_length_sum", "done"),
}
_TOTALS = {
    "generation_tokens_total": "generation_tokens",
    "prompt_tokens_total": "prompt_tokens",
    "num_preemptions_total": "preemptions",
    "prefix_cache_queries_total": "prefix_queries",
    "prefix_cache_hits_total": "prefix_hits",
    "request_success_total": "done",
}


@dataclass(frozen=True)
class _Passed:
    """Requests as some place saw them: when they came and went, and whether well."""

    came: Floats
    went: Floats
    failed: Mask

    @classmethod
    def of(cls, came: Sequence[float], went: Sequence[float], requests: list[Request]) -> _Passed:
        seen = np.isfinite(np.array(came, dtype=np.float64))
        gone = np.where(np.isfinite(went), went, np.inf)
        failed = np.array([each.outcome != "success" for each in requests], dtype=bool)
        return cls(np.array(came)[seen], gone[seen], failed[seen])


def scrape_serving(cluster: Cluster, scraper: Scraper) -> None:
    """Scrape every pod's Ray agent and the gateway's exporter."""
    for replica in cluster.replicas:
        times = scraper.times("ray", replica.id)
        answered = (replica.alive.at(times) > 0) & (replica.scraped.at(times) > 0)
        scraper.answers("ray", replica.id, answered)
        _engine(scraper, replica)
        mine = [each for each in cluster.requests if each.replica == replica.number]
        ended = [_first_known(each.engine_end, each.head_end) for each in mine]
        passed = _Passed.of([each.enqueued for each in mine], ended, mine)
        _deployment(scraper, replica.id, passed, replica.starts)
        failed = partial(so_far, moments=replica.unhealthy)
        failures = since_start(failed, times, replica.starts)
        name = "ray_serve_health_check_failures_total"
        scraper.add(name, "ray", replica.id, failures, application="llm")
        scraper.finish("ray", replica.id)
    _head(cluster, scraper)
    _gateway(cluster, scraper)
    scraper.finish("prometheus", "telemetry/prometheus")


def _engine(scraper: Scraper, replica: Replica) -> None:
    times, log = scraper.times("ray", replica.id), replica.engine.log

    def add(name: str, values: Floats) -> None:
        scraper.add(f"ray_vllm_{name}", "ray", replica.id, values, model_name="simulated")

    def counter(name: str) -> Floats:
        def at(when: Floats) -> Floats:
            grown = log.counter(name, when)
            return grown if name.endswith("_sum") else np.floor(grown)

        return since_start(at, times, replica.starts)

    for histogram, (total, count) in _HISTOGRAMS.items():
        add(f"{histogram}_sum", counter(total))
        add(f"{histogram}_count", counter(count))
    for name, column in _TOTALS.items():
        add(name, counter(column))
    add("num_requests_running", log.gauge("running", times))
    add("num_requests_waiting", log.gauge("waiting", times))
    capacity = replica.engine.kv_capacity.at(times)
    add("kv_cache_usage_perc", (log.gauge("kv_tokens", times) / capacity).clip(0, 1))


def _deployment(
    scraper: Scraper, component: str, passed: _Passed, starts: Sequence[float] = (-np.inf,)
) -> None:
    times = scraper.times("ray", component)
    good = ~passed.failed

    def add(name: str, values: Floats) -> None:
        scraper.add(f"ray_serve_{name}", "ray", component, values, application="llm")

    def count(moments: Floats, amounts: Floats | None = None) -> Floats:
        return since_start(partial(so_far, moments=moments, amounts=amounts), times, starts)

    latency_ms = (passed.went - passed.came) * 1000
    add("replica_processing_queries", so_far(times, passed.came) - so_far(times, passed.went))
    add("deployment_request_counter_total", count(passed.went))
    add("deployment_processing_latency_ms_sum", count(passed.went[good], latency_ms[good]))
    add("deployment_processing_latency_ms_count", count(passed.went[good]))
    errors = count(passed.went[passed.failed])
    if errors.any():
        add("deployment_error_counter_total", errors)


def _head(cluster: Cluster, scraper: Scraper) -> None:
    requests = cluster.requests
    passed = _Passed.of([r.at_head for r in requests], [r.head_end for r in requests], requests)
    times, good = scraper.times("ray", HEAD), ~passed.failed
    latency_ms = (passed.went - passed.came) * 1000
    _deployment(scraper, HEAD, passed)
    for name, values in (
        ("num_http_requests_total", so_far(times, passed.went)),
        ("http_request_latency_ms_sum", so_far(times, passed.went[good], latency_ms[good])),
        ("http_request_latency_ms_count", so_far(times, passed.went[good])),
        ("num_http_error_requests_total", so_far(times, passed.went[passed.failed])),
        ("num_ongoing_http_requests", so_far(times, passed.came) - so_far(times, passed.went)),
    ):
        scraper.add(f"ray_serve_{name}", "ray", HEAD, values)
    changes = np.array([(-np.inf, 0), *cluster.router.queued], dtype=np.float64)
    waiting = changes[np.searchsorted(changes[:, 0], times, side="right") - 1, 1]
    scraper.add("ray_serve_deployment_queued_queries", "ray", HEAD, waiting, application="llm")
    scraper.finish("ray", HEAD)


def _gateway(cluster: Cluster, scraper: Scraper) -> None:
    times = scraper.times("gateway", GATEWAY)
    due = np.array([each.due for each in cluster.requests])
    ended = np.array([each.client_end for each in cluster.requests])
    active = so_far(times, due) - so_far(times, ended)
    scraper.add("nginx_connections_active", "gateway", GATEWAY, active + 1)
    scraper.add("nginx_http_requests_total", "gateway", GATEWAY, so_far(times, ended))
    scraper.finish("gateway", GATEWAY)


def _first_known(*times: float) -> float:
    return next((each for each in times if np.isfinite(each)), np.inf)
