# SPDX-License-Identifier: Apache-2.0
"""Traces from Tempo: every trace that began in the window, each fetched whole.

A search returns the first traces that it happens to find, so one that gives as many as it may has
hidden some: its seconds are halved, and the last second asked with a larger limit. What was found
and could not be fetched is counted.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.http import (
    Connection,
    Deadline,
    Endpoint,
    Progress,
    side_by_side,
    silent,
)
from rca_engine.telemetry.placement import Placement
from rca_engine.telemetry.source import Gathered, unplaced
from rca_engine.telemetry.spans import Span, calls, in_one_spelling, phases

_LIMIT = 1000
_SLICE_S = 10
_MOST = 1 << 18
"""Traces of one second beyond which the search is given up."""
_FETCHES = 4
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_STATUS = {"STATUS_CODE_ERROR": "error", "STATUS_CODE_OK": "ok", 2: "error", 1: "ok"}


@dataclass(frozen=True)
class Source:
    """Which traces to fetch: ``query`` is TraceQL, such as ``{resource.namespace="ray"}``."""

    endpoint: Endpoint
    query: str = "{}"
    limit: int = _LIMIT


def gather(
    source: Source,
    placement: Placement,
    window: Window,
    *,
    deadline_s: float = 120.0,
    progress: Progress = silent,
) -> Gathered:
    """Fetch the traces that began in the window as rows of ``traces``.

    Raises
    ------
    TelemetryError
        If Tempo can't be reached or refuses, the deadline passes, or a second holds more traces
        than a search can give.
    """
    with Connection(source.endpoint, Deadline(deadline_s), "Tempo") as connection:
        reader = _Reader(connection, source)
        found = sorted(reader.search(window.start_ns // NS, -(-window.end_ns // NS), _SLICE_S))
        spans: list[Span] = []
        strangers: Counter[str] = Counter()
        outside = 0
        fetched = side_by_side(reader.fetch, found, workers=_FETCHES)
        for number, resources in enumerate(fetched, start=1):
            if number % 100 == 0 or number == len(found):
                progress(f"Tempo: {number} of {len(found)} traces")
            begin_ns = min((int(each["startTimeUnixNano"]) for _, each in resources), default=None)
            if begin_ns is None:
                continue
            if not window.start_ns <= begin_ns <= window.end_ns:
                outside += 1
                continue
            for resource, raw in resources:
                span = _span(resource, raw, placement)
                if span is None:
                    strangers[str(resource.get("service.name", "(no service.name)"))] += 1
                else:
                    spans += [span, *phases(span)]
        queries = tuple(connection.asked)
    warnings = unplaced("spans", strangers)
    if reader.absent:
        warnings.append(f"{len(reader.absent)} traces were found and then absent")
    if reader.partial:
        warnings.append(f"{len(reader.partial)} traces came in part: {reader.partial[0]}")
    return Gathered(
        "traces",
        [span.row() for span in spans],
        queries,
        tuple(warnings),
        {
            "found": len(found),
            "fetched": len(found) - len(reader.absent),
            "unfetched": sorted(reader.absent),
            "outside_window": outside,
        },
        calls(spans),
    )


class _Reader:
    def __init__(self, connection: Connection, source: Source) -> None:
        self._connection, self._source = connection, source
        self.absent: list[str] = []
        self.partial: list[str] = []

    def search(self, begin_s: int, end_s: int, slice_s: int) -> set[str]:
        """Return the ids of all traces that touch the seconds between two, both inclusive."""
        found: set[str] = set()
        for begin in range(begin_s, max(end_s, begin_s + 1), slice_s):
            found |= self._between(begin, min(begin + slice_s, max(end_s, begin_s + 1)))
        return found

    def _between(self, begin_s: int, end_s: int) -> set[str]:
        limit = self._source.limit
        found = self._once(begin_s, end_s, limit)
        if len(found) < limit:
            return found
        if end_s - begin_s > 1:
            middle = (begin_s + end_s) // 2
            return self._between(begin_s, middle) | self._between(middle, end_s)
        while len(found) >= limit:
            limit *= 4
            if limit > _MOST:
                raise TelemetryError(
                    f"{self._connection.url}: more than {len(found)} traces of "
                    f"{self._source.query} in one second; narrow the query"
                )
            found = self._once(begin_s, end_s, limit)
        return found

    def _once(self, begin_s: int, end_s: int, limit: int) -> set[str]:
        query = self._source.query
        params = {"q": query, "start": begin_s, "end": end_s, "limit": limit, "spss": 1}
        note = f"{query} [{begin_s}, {end_s}] limit {limit}"
        answer = self._connection.get("/api/search", params, note=note)
        document = self._connection.json(answer)
        try:
            # Leading zeros are stripped from the ids of a search.
            found = {each["traceID"].zfill(2 * _TRACE_BYTES) for each in document["traces"] or ()}
        except (LookupError, TypeError, AttributeError) as error:
            raise self._no_answer(note, error) from None
        self._connection.rows(len(found))
        return found

    def fetch(self, trace_id: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Return (attributes of the resource, span) of all spans of a trace; none if absent."""
        # Without a window: one that is too narrow cuts traces.
        path = f"/api/v2/traces/{trace_id}"
        answer = self._connection.get(path, {}, note=f"trace {trace_id}")
        if answer.status == 404:
            self.absent.append(trace_id)
            return []
        document = self._connection.json(answer)
        try:
            spans = list(_resource_spans(document["trace"]))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._no_answer(path, error) from None
        if not spans:
            # Tempo's second interface answers so, with 200.
            self.absent.append(trace_id)
        if document.get("status") not in (None, "COMPLETE", 0):
            self.partial.append(f"{trace_id}: {document.get('message', document['status'])}")
        self._connection.rows(len(spans))
        return spans

    def _no_answer(self, query: str, error: Exception) -> TelemetryError:
        return TelemetryError(
            f"{self._connection.url}: not an answer of Tempo to {query!r}: {error!r}"
        )


def _resource_spans(
    trace: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for group in trace.get("resourceSpans", ()):
        resource = attributes(group.get("resource", {}).get("attributes", ()))
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield resource, span


def attributes(listed: Any) -> dict[str, Any]:
    """Read OTLP's list of attributes."""
    return {each["key"]: _value(each.get("value", {})) for each in listed}


def _value(value: Mapping[str, Any]) -> Any:
    match value:
        case {"intValue": number}:
            return int(number)
        case {"arrayValue": array}:
            return [_value(each) for each in array.get("values", ())]
        case {"kvlistValue": pairs}:
            return attributes(pairs.get("values", ()))
        case _:
            return next(iter(value.values()), None)


def _span(resource: Mapping[str, Any], raw: Mapping[str, Any], placement: Placement) -> Span | None:
    own = in_one_spelling(attributes(raw.get("attributes", ())))
    told = {key: str(value) for key, value in {**own, **resource}.items()}
    component = placement.of(told)
    if component is None:
        return None
    parent = raw.get("parentSpanId")
    start_ns = int(raw["startTimeUnixNano"])
    return Span(
        trace_id=hexadecimal(raw["traceId"], _TRACE_BYTES),
        span_id=hexadecimal(raw["spanId"], _SPAN_BYTES),
        parent_span_id=hexadecimal(parent, _SPAN_BYTES) if parent else None,
        component=component,
        name=raw.get("name", ""),
        kind=str(raw.get("kind", "unspecified")).removeprefix("SPAN_KIND_").lower(),
        start_ns=start_ns,
        duration_ns=max(int(raw["endTimeUnixNano"]) - start_ns, 0),
        status=_STATUS.get(raw.get("status", {}).get("code"), "unset"),
        attributes={**resource, **own},
    )


def hexadecimal(identity: str, length: int) -> str:
    """Return an id of ``length`` bytes in hexadecimal: Tempo's JSON has base64, OTLP's has hex."""
    if len(identity) != 2 * length:
        try:
            raw = base64.b64decode(identity, validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        if len(raw) == length:
            return raw.hex()
    return identity.lower().zfill(2 * length)
