# SPDX-License-Identifier: Apache-2.0
"""Plays DeepFlow's querier: a row limit, null for nothing, answers kept for ten minutes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from servers.http import Asked, Reply, as_json

DEFAULT_LIMIT = 10_000
COLUMNS = (
    "_id", "time", "start_time", "end_time", "response_duration", "response_status",
    "response_code", "response_exception", "l7_protocol_str", "request_type", "request_domain",
    "request_resource", "endpoint", "trace_id", "span_id", "parent_span_id", "x_request_id_0",
    "x_request_id_1", "req_tcp_seq", "syscall_trace_id_request", "observation_point", "ip_0",
    "ip_1", "pod_0", "pod_1", "client_port", "server_port",
)  # fmt: skip


@dataclass
class DeepFlow:
    rows: list[dict[str, Any]]
    kept: dict[str, Reply] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Reply:
        assert (asked.method, asked.path) == ("POST", "/v1/query/")
        assert asked.params["db"] == "flow_log"
        sql = asked.params["sql"]
        if sql not in self.kept:
            self.kept[sql] = self._answer(sql)
        return self.kept[sql]

    def _answer(self, sql: str) -> Reply:
        chosen = re.search(
            r"SELECT (?:/\*.*?\*/ )?(.*) FROM l7_flow_log WHERE (.*) ORDER BY _id", sql
        )
        limit = re.search(r"LIMIT (\d+)", sql)
        if chosen is None:
            return as_json({"OPT_STATUS": "FAIL", "DESCRIPTION": f"parse sql: {sql}"}, 500)
        bound = {
            name: int(number)
            for name, number in re.findall(r"(time >=|time <|_id >) (\d+)", chosen[2])
        }
        found = [
            row
            for row in self.rows
            if bound["time >="] <= row["time"] < bound["time <"] and row["_id"] > bound["_id >"]
        ]
        found.sort(key=lambda row: row["_id"])
        found = found[: int(limit[1]) if limit else DEFAULT_LIMIT]
        wanted = [part.rsplit(" AS ", 1) for part in chosen[1].split(", ")]
        names = [name.strip("`") for _, name in wanted]
        values = [[self._value(row, what) for what, _ in wanted] for row in found]
        result = {"columns": names, "schemas": None, "values": values or None}
        return as_json({"OPT_STATUS": "SUCCESS", "DESCRIPTION": "", "result": result})

    @staticmethod
    def _value(row: dict[str, Any], what: str) -> Any:
        call = re.fullmatch(r"(toString|toUnixTimestamp64Micro)\((\w+)\)", what)
        if call is None:
            return row[what]
        return str(row[call[2]]) if call[1] == "toString" else row[call[2]]
