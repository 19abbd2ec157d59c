# SPDX-License-Identifier: Apache-2.0
"""Plays Tempo: searches that give any first N, stripped ids, base64, absent traces as 200."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from servers.http import Asked, Reply, as_json, as_text

NS = 1_000_000_000


def b64(identity: str) -> str:
    return base64.b64encode(bytes.fromhex(identity)).decode()


def value(raw: Any) -> dict[str, Any]:
    match raw:
        case bool():
            return {"boolValue": raw}
        case int():
            return {"intValue": str(raw)}
        case float():
            return {"doubleValue": raw}
        case _:
            return {"stringValue": raw}


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(each)} for key, each in attributes.items()]


@dataclass(frozen=True)
class Span:
    span_id: str
    parent: str | None
    pod: str
    name: str
    start_ns: int
    seconds: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False


@dataclass
class Tempo:
    traces: dict[str, list[Span]]
    """By id, 32 digits."""
    lost: set[str] = field(default_factory=set)
    """Found, but absent when fetched."""
    partial: set[str] = field(default_factory=set)
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/api/search":
            return self._search(asked.params)
        identity = asked.path.rpartition("/")[2]
        if not re.fullmatch("[0-9a-f]+", identity):
            return as_text("trace IDs can only contain hex characters")
        identity = identity.zfill(32)
        if identity not in self.traces or identity in self.lost:
            return as_json({"trace": {}, "metrics": {}})
        groups = [self._group(identity, span) for span in self.traces[identity]]
        document = {"trace": {"resourceSpans": groups}, "metrics": {"inspectedBytes": "1"}}
        if identity in self.partial:
            document |= {"status": "PARTIAL", "message": "trace exceeds the maximum size"}
        return as_json(document)

    def _search(self, params: Mapping[str, str]) -> Reply:
        start, end = int(params["start"]), int(params["end"])
        if start >= end:
            return as_text(
                f"http parameter start must be before end. received start={start} end={end}"
            )
        found = [
            identity
            for identity, spans in self.traces.items()
            if min(each.start_ns for each in spans) < (end + 1) * NS
            and max(each.start_ns + round(each.seconds * NS) for each in spans) >= start * NS
        ]
        # Which are the first depends on the weather.
        self.rng.shuffle(found)
        traces = [self._summary(each) for each in found[: int(params.get("limit", 20))]]
        metrics = {"inspectedBytes": "1", "completedJobs": 1, "totalJobs": 1}
        return as_json({"traces": traces, "metrics": metrics})

    def _summary(self, identity: str) -> dict[str, Any]:
        first = self.traces[identity][0]
        shown = {
            "spanID": first.span_id,
            "startTimeUnixNano": str(first.start_ns),
            "durationNanos": str(round(first.seconds * NS)),
        }
        spans = {"spans": [shown], "matched": len(self.traces[identity])}
        return {
            "traceID": identity.lstrip("0"),
            "rootServiceName": first.pod,
            "rootTraceName": first.name,
            "startTimeUnixNano": str(first.start_ns),
            "durationMs": round(first.seconds * 1000),
            "spanSet": spans,
            "spanSets": [spans],
            "serviceStats": {first.pod: {"spanCount": 1}},
        }

    def _group(self, identity: str, span: Span) -> dict[str, Any]:
        end_ns = span.start_ns + round(span.seconds * NS)
        own = {
            "traceId": b64(identity),
            "spanId": b64(span.span_id),
            "name": span.name,
            "kind": "SPAN_KIND_SERVER",
            "startTimeUnixNano": str(span.start_ns),
            "endTimeUnixNano": str(end_ns),
            "attributes": pairs(span.attributes),
            "status": {"code": "STATUS_CODE_ERROR"} if span.failed else {},
        }
        if span.parent is not None:
            own["parentSpanId"] = b64(span.parent)
        return {
            "resource": {"attributes": pairs({"k8s.pod.name": span.pod, "service.name": "s"})},
            "scopeSpans": [{"scope": {"name": "vllm.llm_engine"}, "spans": [own]}],
        }
