# SPDX-License-Identifier: Apache-2.0
"""Plays Loki 3: silent truncation, the cap of a page, metadata that splits streams, counts."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass

from servers.http import Asked, Reply, as_json, as_text

NS = 1_000_000_000
_MATCHER = re.compile(r'([A-Za-z_][\w]*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Line:
    time_ns: int
    labels: tuple[tuple[str, str], ...]
    text: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass
class Loki:
    lines: list[Line]
    cap: int = 5000
    tenant: str | None = None

    def __call__(self, asked: Asked) -> Reply:
        if self.tenant is not None and asked.headers.get("x-scope-orgid") != self.tenant:
            return as_text("no org id", 401)
        params = asked.params
        if asked.path.endswith("/query_range"):
            return self._range(asked)
        if asked.path.endswith("/series"):
            start, end = int(params["start"]), int(params["end"])
            chosen = self._chosen(params["match[]"], start, end)
            streams = [dict(labels) for labels in dict.fromkeys(line.labels for line in chosen)]
            return as_json({"status": "success", "data": streams})
        count = re.fullmatch(r"sum\(count_over_time\((.*) \[(\d+)s\]\)\)", params["query"])
        assert count is not None, params["query"]
        at, length = int(params["time"]), int(count[2]) * NS
        # Open at the left end, closed at the right one.
        counted = len(self._chosen(count[1], at - length + 1, at + 1))
        result = [{"metric": {}, "value": [at / NS, str(counted)]}] if counted else []
        return as_json({"status": "success", "data": {"resultType": "vector", "result": result}})

    def _range(self, asked: Asked) -> Reply:
        params = asked.params
        start, end = int(params["start"]), int(params["end"])
        limit = int(params.get("limit", 100))
        if limit > self.cap:
            return as_text(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query "
                f"({limit} > {self.cap})"
            )
        if end <= start:
            return as_text("end timestamp must not be before or equal to start time")
        forward = params.get("direction", "backward") == "forward"
        found = sorted(self._chosen(params["query"], start, end), key=lambda line: line.time_ns)
        found = found[:limit] if forward else found[::-1][:limit]
        apart = "categorize-labels" in asked.headers.get("x-loki-response-encoding-flags", "")
        streams = defaultdict(list)
        for line in found:
            metadata = dict(line.metadata)
            own = {"structuredMetadata": metadata} if metadata else {}
            key = line.labels if apart else tuple(sorted({**dict(line.labels), **metadata}.items()))
            value = [str(line.time_ns), line.text, *([own] if apart else [])]
            streams[key].append(value)
        result = [{"stream": dict(key), "values": values} for key, values in streams.items()]
        data = {"resultType": "streams", "result": result, "stats": {}}
        if apart:
            data["encodingFlags"] = ["categorize-labels"]
        return as_json({"status": "success", "data": data})

    def _chosen(self, query: str, start: int, end: int) -> list[Line]:
        found = _MATCHER.findall(query)
        wanted = {key: json.loads(f'"{value}"') for key, value in found}
        return [
            line
            for line in self.lines
            if start <= line.time_ns < end
            and all(dict(line.labels).get(key, "") == value for key, value in wanted.items())
        ]
