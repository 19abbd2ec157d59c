# SPDX-License-Identifier: Apache-2.0
"""A synthetic case: a small lab, one of whose replicas is starved of CPU for a while.

For tests, documentation and a first look; it proves nothing about any method. Requests are drawn
first, and everything else follows from them as in a real run: engine counters from the requests,
samples by a scrape a second, and the case from those by the harvest's own code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rca_engine.errors import CaseError
from rca_engine.model import NS, Window
from rca_engine.telemetry.harvest import Harvest, build, requests_table
from rca_engine.telemetry.logs import Logs
from rca_engine.telemetry.prometheus import Fetched
from rca_engine.telemetry.samples import Floats, Samples, label_key
from rcalab_common.files import write_json, write_text
from rcalab_common.times import format_utc, parse_utc

_START_NS = parse_utc("2026-01-05T09:00:00.000000000Z")
_LENGTH_S, _FAULT_S = 165, (60.0, 105.0)
_SCRAPE_GAP_S = (68.0, 74.0)
"""The starved pod answers no scrape at first: its metrics agent is starved with it."""
_RATE, _REPLICAS, _TOKENS, _SLOWDOWN = 4.0, 3, 32, 9.0
_PODS = ("gateway/nginx", "head/ray", *(f"replica/llm-{number}" for number in range(_REPLICAS)))
_TARGET = "replica/llm-0"


@dataclass(frozen=True)
class _Requests:
    """Requests by intended time; times in seconds since the start, shape (requests,)."""

    due: Floats
    queue: Floats
    prefill: Floats
    decode: Floats
    replica: npt.NDArray[np.int64]

    @property
    def first_token(self) -> Floats:
        return self.due + self.queue + self.prefill

    @property
    def end(self) -> Floats:
        return self.first_token + self.decode


def simulate(run_dir: Path | str, *, seed: int = 0, sham: bool = False) -> Path:
    """Write a synthetic case of format 1.

    Parameters
    ----------
    run_dir
        Made if absent.
    seed
        Everything follows from it.
    sham
        Go through the fault window without a fault.

    Returns
    -------
    Path
        The case's directory.

    Raises
    ------
    CaseError
        If the directory holds something else.
    """
    root = Path(run_dir)
    if root.exists() and not root.is_dir():
        raise CaseError(f"{root}: is a file; name a directory for the case")
    if root.is_dir() and any(root.iterdir()) and not (root / "case.json").exists():
        raise CaseError(f"{root}: is not empty and holds no case; name another directory")
    rng = np.random.default_rng(seed)
    requests = _draw(rng, starved=not sham)
    _write_records(root / "load" / "requests.jsonl", requests)
    write_json(root / "ground_truth.json", _truth(sham))
    pods = [{"name": each.split("/")[1], "component": each} for each in _PODS]
    samples = _scrape(rng, requests, starved=not sham)
    build(
        Harvest(
            run_dir=root,
            prometheus_url="simulated",
            pods_file=root / "pods.json",
            run_id=f"simulated-{seed}",
            experiment="simulated",
            scenario="sham" if sham else "cpu_starvation",
            seed=seed,
            engine="simulated",
            notes=["Synthetic: no engine, no cluster and no fault was real."],
        ),
        Window(_START_NS, _START_NS + _LENGTH_S * NS),
        {"isolation": "netns", "pods": pods},
        Fetched(samples, (), ()),
        _log(requests),
        requests_table(root / "load" / "requests.jsonl"),
    )
    return root


def _draw(rng: np.random.Generator, *, starved: bool) -> _Requests:
    due = np.arange(0.5, _LENGTH_S - 10, 1 / _RATE)
    replica = rng.integers(_REPLICAS, size=due.size)
    in_fault = (due >= _FAULT_S[0]) & (due < _FAULT_S[1]) & (replica == 0)
    factor = np.where(in_fault & starved, _SLOWDOWN, 1.0)

    def seconds(median: float) -> Floats:
        return factor * median * rng.lognormal(0.0, 0.15, due.size)

    return _Requests(due, seconds(0.01), seconds(0.2), seconds(0.5), replica)


def _write_records(path: Path, requests: _Requests) -> None:
    def at(seconds: float) -> int:
        return _START_NS + round(float(seconds) * NS)

    lines = []
    for index in np.argsort(requests.end, kind="stable").tolist():
        due, first, end = (
            at(part[index]) for part in (requests.due, requests.first_token, requests.end)
        )
        ttft_ms, latency_ms = (first - due) / 1e6, (end - due) / 1e6
        record = {
            "index": index,
            "request_id": f"{index:032x}",
            "traceparent": f"00-{index + 1:032x}-{index + 1:016x}-01",
            "phase": "measured",
            "scheduled_ns": due,
            "sent_ns": due,
            "end_ns": end,
            "first_token_ns": first,
            "last_token_ns": end,
            "outcome": "success",
            "status": 200,
            "error": None,
            "prompt_tokens": 64,
            "output_tokens": _TOKENS,
            "token_source": "usage",
            "response_ttft_ms": ttft_ms,
            "response_latency_ms": latency_ms,
            "service_ttft_ms": ttft_ms,
            "service_latency_ms": latency_ms,
            "tpot_ms": (latency_ms - ttft_ms) / (_TOKENS - 1),
            "max_gap_ms": (latency_ms - ttft_ms) / (_TOKENS - 1),
            "replica": f"llm-{requests.replica[index]}",
        }
        lines.append(json.dumps(record))
    write_text(path, "\n".join(lines) + "\n")


def _truth(sham: bool) -> dict[str, Any]:
    def at(seconds: float) -> str:
        return format_utc(_START_NS + round(seconds * NS))

    start, end = _FAULT_S
    causes = [
        {
            "component": _TARGET,
            "metrics": ["cpu_throttled_periods_rate", "cpu_throttled_seconds_rate"],
        }
    ]
    return {
        "format": 1,
        "fault": "F01",
        "name": "cpu_starvation",
        "sham": sham,
        "mechanism": "simulated",
        "parameters": {"cpu_limit_cores": 0.2, "duration_s": end - start},
        "target": {"component": _TARGET, "pod": "llm-0", "host": "simulated"},
        "root_causes": [] if sham else causes,
        "times": {
            "requested": at(start - 1),
            "applied": at(start - 0.5),
            "effect_first_seen": None if sham else at(start),
            "revert_requested": at(end - 0.2),
            "reverted": at(end - 0.1),
            "revert_verified": at(end),
            "steady_state_regained": None,
        },
        "dose": {
            "intended": {"cpu_limit_cores": 0.2},
            "measured": {} if sham else {"throttled_periods_ratio": 0.97},
        },
        "clock_offsets_ms": {"controller": 0.0},
        "reverted_by": "controller",
        "outcome": "not_effective" if sham else "effective",
        "messages": [],
        "versions": {},
    }


def _log(requests: _Requests) -> Logs:
    ends = np.sort(requests.end)
    columns = {
        "timestamp": (_START_NS + np.round(ends * NS).astype(np.int64)).tolist(),
        "component": ["gateway/nginx"] * ends.size,
        "stream": ["access"] * ends.size,
        "level": [None] * ends.size,
        "message": ['{"request_uri":"/v1/chat/completions","status":200}'] * ends.size,
    }
    return Logs(columns, int(ends.size), ())


class _Scraper:
    """Collects samples, one a second and series, at a phase of each target's own."""

    def __init__(self, rng: np.random.Generator, *, starved: bool) -> None:
        self._rng, self._starved = rng, starved
        self._phase: dict[tuple[str, str], float] = {}
        self._points: dict[tuple[str, str], Mapping[int, float]] = {}

    def times(self, job: str, component: str) -> Floats:
        """Return when a target was scraped, in seconds since the start; some before it."""
        phase = self._phase.setdefault((job, component), float(self._rng.uniform(0.1, 0.9)))
        return np.arange(-6.0, _LENGTH_S) + phase

    def answered(self, job: str, component: str) -> npt.NDArray[np.bool_]:
        times = self.times(job, component)
        missed = (times >= _SCRAPE_GAP_S[0]) & (times < _SCRAPE_GAP_S[1])
        return ~missed if self._starved and (job, component) == ("ray", _TARGET) else missed | True

    def add(self, name: str, job: str, component: str, values: Floats, **labels: str) -> None:
        """Add a series: its value at each of ``times``; scrapes that failed have none."""
        kept = self.answered(job, component) | (name in ("up", "scrape_duration_seconds"))
        instance = "exporter:9100" if job == "pod" else f"{component}:9100"
        key = label_key({"job": job, "instance": instance, "component": component, **labels})
        times = self.times(job, component)[kept]
        times_ns = _START_NS + np.round(times * 1000).astype(np.int64) * 1_000_000
        self._points[name, key] = dict(zip(times_ns.tolist(), values[kept].tolist(), strict=True))

    def samples(self) -> Samples:
        return Samples.pack(self._points)


def _scrape(rng: np.random.Generator, requests: _Requests, *, starved: bool) -> Samples:
    scraper = _Scraper(rng, starved=starved)
    for component in _PODS:
        _pod(scraper, rng, component, starved=starved and component == _TARGET)
    for number in range(_REPLICAS):
        _engine(scraper, f"replica/llm-{number}", requests, requests.replica == number)
        _serve(scraper, f"replica/llm-{number}", requests, requests.replica == number)
    everything = np.ones(requests.due.size, dtype=bool)
    _serve(scraper, "head/ray", requests, everything)
    _proxy(scraper, requests, everything)
    _node(scraper, rng)
    for job, component in (
        *(("ray", each) for each in _PODS[1:]),
        ("gateway", "gateway/nginx"),
        ("node", "node/simulated"),
        ("prometheus", "telemetry/prometheus"),
    ):
        answered = scraper.answered(job, component)
        scraper.add("up", job, component, answered.astype(float))
        duration = np.where(answered, rng.lognormal(-4.5, 0.2, answered.size), 1.0)
        scraper.add("scrape_duration_seconds", job, component, duration)
    return scraper.samples()


def _pod(scraper: _Scraper, rng: np.random.Generator, component: str, *, starved: bool) -> None:
    times = scraper.times("pod", component)
    inside = (times >= _FAULT_S[0]) & (times < _FAULT_S[1]) & starved
    cores = np.where(inside, 0.2, rng.normal(0.35, 0.04, times.size).clip(0.05))

    def add(name: str, values: Floats) -> None:
        scraper.add(name, "pod", component, values, pod=component.split("/")[1])

    add("container_cpu_usage_seconds_total", np.cumsum(cores))
    add("container_cpu_cfs_throttled_periods_total", np.cumsum(np.where(inside, 9.7, 0.0)))
    add("container_cpu_cfs_throttled_seconds_total", np.cumsum(np.where(inside, 0.8, 0.0)))
    add("container_memory_working_set_bytes", 1.5e9 + rng.normal(0, 2e6, times.size))
    add("container_processes", np.full(times.size, 12.0))
    for way in ("receive", "transmit"):
        add(
            f"container_network_{way}_bytes_total",
            np.cumsum(rng.normal(40_000, 4_000, times.size).clip(0)),
        )


def _engine(
    scraper: _Scraper, component: str, requests: _Requests, mine: npt.NDArray[np.bool_]
) -> None:
    ends, starts = requests.end[mine], requests.due[mine]
    times = scraper.times("ray", component)
    steps = _TOKENS - 1

    def add(name: str, values: Floats) -> None:
        scraper.add(f"ray_vllm_{name}", "ray", component, values, model_name="simulated")

    for name, seconds, events in (
        ("time_to_first_token_seconds", requests.queue + requests.prefill, 1),
        ("inter_token_latency_seconds", requests.decode, steps),
        ("e2e_request_latency_seconds", requests.queue + requests.prefill + requests.decode, 1),
        ("request_queue_time_seconds", requests.queue, 1),
        ("request_prefill_time_seconds", requests.prefill, 1),
        ("request_decode_time_seconds", requests.decode, 1),
    ):
        add(f"{name}_sum", _so_far(times, ends, seconds[mine]))
        add(f"{name}_count", _so_far(times, ends, np.full(ends.size, float(events))))
    running = _so_far(times, starts) - _so_far(times, ends)
    add("num_requests_running", running)
    add("num_requests_waiting", np.zeros(times.size))
    add("kv_cache_usage_perc", running * 0.02)
    add("generation_tokens_total", _so_far(times, ends) * _TOKENS)
    add("prompt_tokens_total", _so_far(times, starts) * 64)
    add("request_success_total", _so_far(times, ends))


def _serve(
    scraper: _Scraper, component: str, requests: _Requests, mine: npt.NDArray[np.bool_]
) -> None:
    times = scraper.times("ray", component)
    starts, ends = requests.due[mine], requests.end[mine]

    def add(name: str, values: Floats) -> None:
        scraper.add(f"ray_serve_{name}", "ray", component, values, application="llm")

    add("replica_processing_queries", _so_far(times, starts) - _so_far(times, ends))
    add("deployment_request_counter_total", _so_far(times, ends))
    add(
        "deployment_processing_latency_ms_sum",
        _so_far(times, ends, (requests.end - requests.due)[mine] * 1000),
    )
    add("deployment_processing_latency_ms_count", _so_far(times, ends))


def _proxy(scraper: _Scraper, requests: _Requests, mine: npt.NDArray[np.bool_]) -> None:
    times = scraper.times("ray", "head/ray")
    ends, latency_ms = requests.end[mine], (requests.end - requests.due)[mine] * 1000
    for name, values in (
        ("num_http_requests_total", _so_far(times, ends)),
        ("http_request_latency_ms_sum", _so_far(times, ends, latency_ms)),
        ("http_request_latency_ms_count", _so_far(times, ends)),
    ):
        scraper.add(f"ray_serve_{name}", "ray", "head/ray", values)
    times = scraper.times("gateway", "gateway/nginx")
    active = _so_far(times, requests.due) - _so_far(times, requests.end)
    scraper.add("nginx_connections_active", "gateway", "gateway/nginx", active + 1)
    scraper.add("nginx_http_requests_total", "gateway", "gateway/nginx", _so_far(times, ends))


def _node(scraper: _Scraper, rng: np.random.Generator) -> None:
    job, component = "node", "node/simulated"
    times = scraper.times(job, component)
    busy = rng.normal(1.2, 0.1, times.size).clip(0, 2)
    for mode, values in (("idle", 2.0 - busy), ("user", busy)):
        name = "node_cpu_seconds_total"
        scraper.add(name, job, component, np.cumsum(values), cpu="0", mode=mode)
    free = 8e9 + rng.normal(0, 1e7, times.size)
    scraper.add("node_memory_MemAvailable_bytes", job, component, free)
    scraper.add("node_load1", job, component, 1.5 + rng.normal(0, 0.05, times.size))
    waiting = np.cumsum(rng.normal(0.2, 0.02, times.size).clip(0))
    scraper.add("node_pressure_cpu_waiting_seconds_total", job, component, waiting)
    scraper.add("node_netstat_Tcp_RetransSegs", job, component, np.full(times.size, 17.0))


def _so_far(times: Floats, events: Floats, amounts: Floats | None = None) -> Floats:
    """Return a counter at ``times`` of ``events`` (their number, or the sum of ``amounts``)."""
    order = np.argsort(events, kind="stable")
    weights = np.ones(events.size) if amounts is None else amounts[order]
    total = np.concatenate([[0.0], np.cumsum(weights)])
    counted: Floats = total[np.searchsorted(events[order], times, side="right")]
    return counted
