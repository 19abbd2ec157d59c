# SPDX-License-Identifier: Apache-2.0
"""Spans as the case has them, whichever source they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rca_engine.model import NS

_SPELLINGS = {
    "gen_ai.usage.input_tokens": "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.output_tokens": "gen_ai.usage.completion_tokens",
    "gen_ai.server.time_to_first_token": "gen_ai.latency.time_to_first_token",
    "gen_ai.server.request.duration": "gen_ai.latency.e2e",
}
"""OpenTelemetry's names of what vLLM names differently; the case has vLLM's."""
_QUEUE, _FIRST, _WHOLE, _PREFILL, _DECODE = (
    f"gen_ai.latency.{name}"
    for name in (
        "time_in_queue",
        "time_to_first_token",
        "e2e",
        "time_in_model_prefill",
        "time_in_model_decode",
    )
)


@dataclass(frozen=True)
class Span:
    """One span of a trace; times in UTC nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    component: str
    name: str
    kind: str
    start_ns: int
    duration_ns: int
    status: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> tuple[Any, ...]:
        """Return its row of the table ``traces``."""
        return (
            self.trace_id,
            self.span_id,
            self.parent_span_id,
            self.component,
            self.name,
            self.kind,
            self.start_ns,
            self.duration_ns,
            self.status,
            json.dumps(self.attributes, sort_keys=True, ensure_ascii=False, default=str),
        )


def in_one_spelling(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes with the names that vLLM gives them."""
    return {_SPELLINGS.get(name, name): value for name, value in attributes.items()}


def phases(span: Span) -> Iterator[Span]:
    """Yield the queue, prefill and decode of an engine's span as spans below it.

    vLLM exports one span a request and tells its phases in attributes, which leaves methods that
    read call graphs nothing to read. What the attributes do not tell has no span.
    """
    times = {
        name: float(value)
        for name in (_QUEUE, _FIRST, _WHOLE, _PREFILL, _DECODE)
        if isinstance(value := span.attributes.get(name), int | float)
    }
    if _QUEUE not in times:
        return
    lengths = {"queue": times[_QUEUE]}
    if (prefill := times.get(_PREFILL, _between(times, _QUEUE, _FIRST))) is not None:
        lengths["prefill"] = prefill
        if (decode := times.get(_DECODE, _between(times, _FIRST, _WHOLE))) is not None:
            lengths["decode"] = decode
    begin_ns, end_ns = span.start_ns, span.start_ns + span.duration_ns
    for name, seconds in lengths.items():
        # Clocks of the engine and of the exporter differ by little: a phase stays in its request.
        until_ns = min(begin_ns + round(max(seconds, 0.0) * NS), end_ns)
        identity = hashlib.sha256(f"{span.trace_id}/{span.span_id}/{name}".encode()).hexdigest()
        yield replace(
            span,
            span_id=identity[:16],
            parent_span_id=span.span_id,
            name=name,
            kind="internal",
            start_ns=begin_ns,
            duration_ns=until_ns - begin_ns,
            status="ok",
            attributes={"derived_from": "gen_ai.latency"},
        )
        begin_ns = until_ns


def calls(spans: Collection[Span]) -> frozenset[tuple[str, str]]:
    """Return (caller, callee) of each call from one component to another."""
    known = {(span.trace_id, span.span_id): span.component for span in spans}
    pairs = ((known.get((each.trace_id, each.parent_span_id or "")), each) for each in spans)
    return frozenset(
        (caller, span.component)
        for caller, span in pairs
        if caller is not None and caller != span.component
    )


def _between(times: Mapping[str, float], begin: str, end: str) -> float | None:
    return times[end] - times[begin] if begin in times and end in times else None
