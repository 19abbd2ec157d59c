# SPDX-License-Identifier: Apache-2.0
"""The Parquet tables of a case: one column list each, for the writer and for the reader."""

from __future__ import annotations

import pyarrow as pa

_TIME = pa.timestamp("ns", tz="UTC")


def _table(*fields: tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in fields])


TABLES: dict[str, pa.Schema] = {
    "samples": _table(
        ("timestamp", _TIME, False), ("series", pa.int32(), False), ("value", pa.float64(), False)
    ),
    "series": _table(
        ("series", pa.int32(), False), ("name", pa.string(), False), ("labels", pa.string(), False)
    ),
    "metrics": _table(
        ("timestamp", _TIME, False),
        ("component", pa.string(), False),
        ("metric", pa.string(), False),
        ("value", pa.float64(), False),
    ),
    "logs": _table(
        ("timestamp", _TIME, False),
        ("component", pa.string(), False),
        ("stream", pa.string(), False),
        ("level", pa.string(), True),
        ("message", pa.string(), False),
    ),
    "events": _table(
        ("timestamp", _TIME, False),
        ("component", pa.string(), False),
        ("reason", pa.string(), False),
        ("message", pa.string(), False),
    ),
    "traces": _table(
        ("trace_id", pa.string(), False),
        ("span_id", pa.string(), False),
        ("parent_span_id", pa.string(), True),
        ("component", pa.string(), False),
        ("name", pa.string(), False),
        ("kind", pa.string(), False),
        ("start", _TIME, False),
        ("duration", pa.int64(), False),
        ("status", pa.string(), False),
        ("attributes", pa.string(), False),
    ),
    "requests": _table(
        ("index", pa.int64(), False),
        ("request_id", pa.string(), False),
        ("traceparent", pa.string(), False),
        ("phase", pa.string(), False),
        ("scheduled_ns", pa.int64(), False),
        ("sent_ns", pa.int64(), False),
        ("end_ns", pa.int64(), False),
        ("first_token_ns", pa.int64(), True),
        ("last_token_ns", pa.int64(), True),
        ("outcome", pa.string(), False),
        ("status", pa.int64(), True),
        ("error", pa.string(), True),
        ("prompt_tokens", pa.int64(), True),
        ("output_tokens", pa.int64(), True),
        ("token_source", pa.string(), True),
        ("response_ttft_ms", pa.float64(), True),
        ("response_latency_ms", pa.float64(), True),
        ("service_ttft_ms", pa.float64(), True),
        ("service_latency_ms", pa.float64(), True),
        ("tpot_ms", pa.float64(), True),
        ("max_gap_ms", pa.float64(), True),
        ("replica", pa.string(), True),
    ),
}
"""Table name (file ``<name>.parquet``) to its schema. Values are never NaN: a missing value in
``metrics`` is a missing row."""
