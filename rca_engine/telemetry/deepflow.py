# SPDX-License-Identifier: Apache-2.0
"""Calls that DeepFlow saw on the wire: rows of ``l7_flow_log`` become spans and links.

Rows are asked for by fixed windows of whole seconds, each read in pages by ``_id``, which is unique
and never 0; a window that moved with the rows would lose those of a time that a page cuts. The
querier keeps answers for ten minutes, also empty ones, so no text of a query is sent twice.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.calls import Call, spans_of
from rca_engine.telemetry.http import Connection, Deadline, Endpoint, Progress, silent
from rca_engine.telemetry.placement import Placement
from rca_engine.telemetry.source import Gathered, unplaced
from rca_engine.telemetry.spans import calls

_LIMIT = 10_000
"""Rows a page: what the querier gives where a query says nothing."""
_SLICE_S = 10
_LONGEST_S = 60
"""A row is filed under the second its call ended, which may lie so far behind the window."""
_COLUMNS = {
    "id": "toString(_id)",
    "start_us": "toUnixTimestamp64Micro(start_time)",
    "end_us": "toUnixTimestamp64Micro(end_time)",
    **{
        name: name
        for name in (
            "response_duration", "response_status", "response_code", "response_exception",
            "l7_protocol_str", "request_type", "request_domain", "request_resource", "endpoint",
            "trace_id", "span_id", "parent_span_id", "x_request_id_0", "x_request_id_1",
            "req_tcp_seq", "syscall_trace_id_request", "observation_point",
            "ip_0", "ip_1", "pod_0", "pod_1", "client_port", "server_port",
        )
    },
}  # fmt: skip
_OK, _UNKNOWN = 0, 2
"""``response_status``: every other value is an error, of the client or of the server."""


@dataclass(frozen=True)
class Source:
    """Which calls to fetch: ``where`` is SQL on ``l7_flow_log``, such as ``pod_ns_1 = 'ray'``."""

    endpoint: Endpoint
    where: str = ""
    limit: int = _LIMIT


def gather(
    source: Source,
    placement: Placement,
    window: Window,
    *,
    deadline_s: float = 120.0,
    progress: Progress = silent,
) -> Gathered:
    """Fetch the calls that began in the window as rows of ``traces``.

    Raises
    ------
    TelemetryError
        If DeepFlow can't be reached or refuses, or the deadline passes.
    """
    with Connection(source.endpoint, Deadline(deadline_s), "DeepFlow") as connection:
        reader = _Reader(connection, source)
        first, last = window.start_ns // NS, window.end_ns // NS + _LONGEST_S + 1
        seen: list[Call] = []
        strangers: Counter[str] = Counter()
        received = 0
        for begin in range(first, last, _SLICE_S):
            for row in reader.rows(begin, min(begin + _SLICE_S, last)):
                received += 1
                if not window.start_ns <= int(row["start_us"]) * 1000 <= window.end_ns:
                    continue
                call = _call(row, placement)
                if call is None:
                    strangers[_stranger(row)] += 1
                else:
                    seen.append(call)
            progress(f"DeepFlow: {received} calls")
        queries = tuple(connection.asked)
    spans = spans_of(seen)
    return Gathered(
        "traces",
        [span.row() for span in spans],
        queries,
        tuple(unplaced("calls", strangers)),
        {"received": received},
        calls(spans),
    )


class _Reader:
    def __init__(self, connection: Connection, source: Source) -> None:
        self._connection, self._source = connection, source
        # Only to make each text new: nothing that is stored depends on it.
        self._mark = (f"{time.time_ns():x}-{number}" for number in itertools.count())

    def rows(self, begin_s: int, end_s: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of [begin, end) once."""
        after = 0
        while True:
            page = self._page(begin_s, end_s, after)
            yield from page
            if len(page) < self._source.limit:
                return
            after = int(page[-1]["id"])

    def _page(self, begin_s: int, end_s: int, after: int) -> list[dict[str, Any]]:
        chosen = ", ".join(f"{what} AS `{name}`" for name, what in _COLUMNS.items())
        where = f"time >= {begin_s} AND time < {end_s} AND _id > {after}"
        where += f" AND ({self._source.where})" if self._source.where else ""
        # Numbers, names from this file, and a condition of whoever asks, who may read all there is.
        sql = (
            f"SELECT /* {next(self._mark)} */ {chosen} FROM l7_flow_log WHERE {where} "  # noqa: S608
            f"ORDER BY _id LIMIT {self._source.limit}"
        )
        answer = self._connection.post(
            "/v1/query/",
            {"db": "flow_log", "sql": sql},
            note=f"l7_flow_log where {where} limit {self._source.limit}",
        )
        document = self._document(answer.status, answer.body)
        try:
            result = document["result"] or {}
            columns, values = result.get("columns") or (), result.get("values") or ()
            rows = [dict(zip(columns, row, strict=True)) for row in values]
            missing = _COLUMNS.keys() - set(columns) if rows else set()
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._no_answer(repr(error)) from None
        if missing:
            raise self._no_answer(f"without the columns {', '.join(sorted(missing))}")
        self._connection.rows(len(rows))
        rows.sort(key=lambda row: int(row["id"]))
        return rows

    def _document(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            document = orjson.loads(body)
            told = document["OPT_STATUS"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            raise self._no_answer(f"{status}: {body[:200].decode(errors='replace')}") from None
        if status != 200 or told != "SUCCESS":
            raise TelemetryError(
                f"{self._connection.url}: DeepFlow refused ({status}, {told}): "
                f"{document.get('DESCRIPTION', '')}"
            )
        return dict(document)

    def _no_answer(self, what: str) -> TelemetryError:
        return TelemetryError(f"{self._connection.url}: not an answer of DeepFlow: {what}")


def _call(row: Mapping[str, Any], placement: Placement) -> Call | None:
    point = str(row["observation_point"])
    client, server = (_end(row, end, placement) for end in (0, 1))
    at_server = point.startswith("s") or point == "app"
    component = server if at_server else client
    if component is None:
        return None
    kept = ("response_code", "response_exception", "l7_protocol_str", "request_domain",
            "observation_point")  # fmt: skip
    start_us, status = int(row["start_us"]), row["response_status"]
    duration = row["response_duration"]
    return Call(
        identity=int(row["id"]),
        component=component,
        point=point,
        at_server=at_server,
        name=_name(row),
        start_ns=start_us * 1000,
        duration_ns=1000 * (int(duration) if duration else int(row["end_us"]) - start_us),
        status="ok" if status == _OK else "unset" if status in (_UNKNOWN, None) else "error",
        connection=(row["ip_0"], row["client_port"], row["ip_1"], row["server_port"]),
        sequence=int(row["req_tcp_seq"] or 0),
        thread=int(row["syscall_trace_id_request"] or 0),
        trace_id=str(row["trace_id"] or ""),
        span_id=str(row["span_id"] or ""),
        parent_span_id=str(row["parent_span_id"] or ""),
        request_ids=frozenset(filter(None, (row["x_request_id_0"], row["x_request_id_1"]))),
        attributes={name: row[name] for name in kept if row[name] not in (None, "")},
    )


def _end(row: Mapping[str, Any], end: int, placement: Placement) -> str | None:
    address = str(row[f"ip_{end}"] or "")
    labels = {"pod": str(row[f"pod_{end}"] or ""), "ip": address}
    return placement.of(labels) or placement.addresses.get(address)


def _name(row: Mapping[str, Any]) -> str:
    what = row["endpoint"] or row["request_resource"] or row["l7_protocol_str"]
    return " ".join(str(part) for part in (row["request_type"], what) if part)


def _stranger(row: Mapping[str, Any]) -> str:
    return f"{row['pod_0'] or row['ip_0']} to {row['pod_1'] or row['ip_1']}"
