# SPDX-License-Identifier: Apache-2.0
"""What a run writes besides samples: the client's records, logs, spans and events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from rca_engine.model import NS
from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.spec import GATEWAY, HEAD, at_ns
from rca_engine.simulator.workload import Request
from rca_engine.telemetry.logs import Logs

_PATH = "/v1/chat/completions"
_SPAN_COLUMNS = (
    "trace_id", "span_id", "parent_span_id", "component", "name", "kind", "start", "duration",
    "status", "attributes",
)  # fmt: skip


def request_records(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Yield the client's record of every request, in order of completion."""
    for request in sorted(cluster.requests, key=lambda each: (each.client_end, each.index)):
        yield _record(request)


def _record(request: Request) -> dict[str, Any]:
    answered = request.outcome == "success"
    due, end = at_ns(request.due), at_ns(request.client_end)
    begun = np.isfinite(request.client_first) and request.client_first <= request.client_end
    first = at_ns(request.client_first) if begun else None
    ttft_ms = None if first is None else (first - due) / 1e6
    latency_ms = (end - due) / 1e6 if answered else None
    tokens = request.output if answered else None
    tpot_ms = None
    if answered and ttft_ms is not None and latency_ms is not None:
        tpot_ms = (latency_ms - ttft_ms) / max(request.output - 1, 1)
    return {
        "index": request.index,
        "request_id": f"{request.index:032x}",
        "traceparent": f"00-{request.index + 1:032x}-{request.index + 1:016x}-01",
        "phase": "measured",
        "scheduled_ns": due,
        "sent_ns": due,
        "end_ns": end,
        "first_token_ns": first,
        "last_token_ns": end if answered else first,
        "outcome": request.outcome,
        "status": request.status,
        "error": request.error,
        "prompt_tokens": request.tokens_in,
        "output_tokens": tokens,
        "token_source": "usage" if answered else None,
        "response_ttft_ms": ttft_ms,
        "response_latency_ms": latency_ms,
        "service_ttft_ms": ttft_ms,
        "service_latency_ms": latency_ms,
        "tpot_ms": tpot_ms,
        "max_gap_ms": None if tpot_ms is None else max(tpot_ms, request.max_gap * 1000),
        "replica": f"llm-{request.replica}" if request.replica >= 0 else None,
    }


def logs(cluster: Cluster) -> Logs:
    """Return the logs: the gateway's access log, the engines' statistics, what went wrong."""
    lines = [*cluster.logs, *_access_log(cluster), *_statistics(cluster)]
    stamped = [
        (at_ns(time + _skew(cluster, component, time)), component, stream, level, message)
        for time, component, stream, level, message in lines
        if time <= cluster.timing.length_s
    ]
    stamped.sort(key=lambda line: line[:2])
    names = ("timestamp", "component", "stream", "level", "message")
    columns = {name: [line[place] for line in stamped] for place, name in enumerate(names)}
    return Logs(columns, len(stamped), ())


def _access_log(cluster: Cluster) -> Iterator[tuple[float, str, str, str | None, str]]:
    for request in cluster.requests:
        # nginx notes a client that closed its connection as 499.
        line = {"request_uri": _PATH, "status": request.status or 499}
        yield request.client_end, GATEWAY, "access", None, json.dumps(line, separators=(",", ":"))


def _statistics(cluster: Cluster) -> Iterator[tuple[float, str, str, str | None, str]]:
    """Yield each engine's line of statistics, every ten seconds while it runs."""
    times = np.arange(3.0, cluster.timing.length_s, 10.0)
    for replica in cluster.replicas:
        log = replica.engine.log
        alive = (replica.alive.at(times) > 0) & (replica.frozen.at(times) == 0)
        running, waiting = log.gauge("running", times), log.gauge("waiting", times)
        for time, ok, run, wait in zip(times, alive, running, waiting, strict=True):
            if ok:
                text = f"Engine 000: Running: {run:.0f} reqs, Waiting: {wait:.0f} reqs"
                yield float(time), replica.id, "stderr", "info", text


def events(cluster: Cluster) -> dict[str, list[Any]]:
    """Return the columns of the ``events`` table."""
    happened = sorted(each for each in cluster.events if each[0] <= cluster.timing.length_s)
    return {
        "timestamp": [at_ns(time) for time, *_ in happened],
        "component": [component for _, component, _, _ in happened],
        "reason": [reason for _, _, reason, _ in happened],
        "message": [message for *_, message in happened],
    }


def spans(cluster: Cluster) -> dict[str, list[Any]]:
    """Return the columns of the ``traces`` table: one trace a request.

    Queue, prefill and decode are spans under the engine's, which is under the router's and that
    under the gateway's. A part that the request did not reach has no span, and a process that died
    has exported none.
    """
    rows = sorted(
        (row for request in cluster.requests for row in _trace(cluster, request)),
        key=lambda row: (row[6], row[0], row[1]),
    )
    return {name: [row[place] for row in rows] for place, name in enumerate(_SPAN_COLUMNS)}


def _trace(cluster: Cluster, request: Request) -> Iterator[tuple[Any, ...]]:
    ok = request.outcome == "success"
    status = "ok" if ok else "error"
    facts = {"gen_ai.usage.prompt_tokens": request.tokens_in}
    if ok:
        facts["gen_ai.usage.completion_tokens"] = request.output
    parts: list[tuple[str, str, str | None, float, float, str]] = [
        (GATEWAY, f"POST {_PATH}", None, request.due, request.client_end, status),
        (HEAD, "route", "gateway", request.at_head, request.head_end, status),
    ]
    if np.isfinite(request.enqueued) and np.isfinite(request.engine_end):
        replica, end = cluster.replicas[request.replica].id, request.engine_end
        scheduled, first = (
            end if np.isnan(each) else each for each in (request.scheduled, request.first)
        )
        parts += [
            (replica, "llm_request", "router", request.enqueued, end, status),
            (replica, "queue", "engine", request.enqueued, scheduled, "ok"),
            (replica, "prefill", "engine", scheduled, first, "ok"),
            (replica, "decode", "engine", first, end, "ok"),
        ]
    identity = {None: None, "gateway": 1, "router": 2, "engine": 3}
    for place, (component, name, parent, start, end, state) in enumerate(parts, start=1):
        if not (np.isfinite(start) and np.isfinite(end)):
            continue
        number = identity[parent]
        yield (
            f"{request.index + 1:032x}",
            _span_id(request, place),
            None if number is None else _span_id(request, number),
            component,
            name,
            "server" if place <= 3 else "internal",
            at_ns(start + _skew(cluster, component, start)),
            round((end - start) * NS),
            state,
            json.dumps(facts if place in (1, 3) else {}, sort_keys=True),
        )


def _span_id(request: Request, place: int) -> str:
    return f"{(request.index + 1) * 16 + place:016x}"


def _skew(cluster: Cluster, component: str, time: float) -> float:
    """Return by how much the clock of a component's node is ahead, in seconds."""
    first = next(iter(cluster.nodes))
    node = next((each.node for each in cluster.replicas if each.id == component), first)
    return float(cluster.nodes[node].clock_offset_s.at(np.array([time]))[0])
