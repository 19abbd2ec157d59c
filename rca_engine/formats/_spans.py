# SPDX-License-Identifier: Apache-2.0
"""Logs and spans as RCAEval's collectors write them, and as the reference system does after them.

Both write ``logs.csv`` (``timestamp`` in ns, ``container_name``, ``message``) and ``traces.csv``
(``startTime`` and ``duration`` in microseconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rca_engine.errors import CaseError
from rca_engine.formats._build import service
from rca_engine.formats._times import UNKNOWN, epoch_ns, stamps
from rca_engine.formats._wide import read_csv

_US = 1000


def read_logs(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read ``logs.csv`` into the table ``logs``.

    Raises
    ------
    CaseError
        If it can't be read or lacks a column.
    """
    table, said = read_csv(path, "container_name")
    _need(path, table, ["message"])
    time = next((name for name in ("timestamp", "time") if name in table.columns), None)
    if time is None:
        raise CaseError(f"{path}: no column timestamp or time")
    times, unread = epoch_ns(table[time])
    level = table["level"].astype("str") if "level" in table.columns else None
    logs = pd.DataFrame(
        {
            "timestamp": stamps(times),
            "component": table["container_name"].astype("str").map(service),
            "stream": "stdout",
            "level": pd.Series(pd.NA, index=table.index, dtype="str") if level is None else level,
            "message": table["message"].astype("str"),
        }
    )
    known = logs[times != UNKNOWN].sort_values("timestamp", kind="stable", ignore_index=True)
    return known, [*said, *(f"{path.name}: {each}" for each in unread)]


def read_spans(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read ``traces.csv`` into the table ``traces``.

    Raises
    ------
    CaseError
        If it can't be read or lacks a column.
    """
    table, said = read_csv(path, "traceID")
    _need(path, table, ["spanID", "serviceName", "duration"])
    time = next((name for name in ("startTime", "startTimeMillis", "time") if name in table), None)
    if time is None:
        raise CaseError(f"{path}: no column startTime, startTimeMillis or time")
    times, unread = epoch_ns(table[time])
    duration = pd.to_numeric(table["duration"], errors="coerce").to_numpy(dtype=np.float64)
    code = table.get("statusCode", pd.Series("", index=table.index)).astype("str")
    operation = table.get("operationName", table.get("methodName", table["serviceName"]))
    parent = table.get("parentSpanID", pd.Series(pd.NA, index=table.index)).astype("str")
    spans = pd.DataFrame(
        {
            "trace_id": table["traceID"].astype("str"),
            "span_id": table["spanID"].astype("str"),
            "parent_span_id": parent.where(parent.ne("") & parent.ne("nan")),
            "component": table["serviceName"].astype("str").map(service),
            "name": operation.astype("str"),
            "kind": "server",
            "start": stamps(times),
            "duration": np.rint(np.nan_to_num(duration) * _US).astype(np.int64),
            "status": np.where(_succeeded(code), "ok", "error"),
            "attributes": '{"status_code": "' + code.str.replace(r"[^\w.]", "", regex=True) + '"}',
        }
    )
    known = spans[(times != UNKNOWN) & np.isfinite(duration)]
    known = known.sort_values("start", kind="stable", ignore_index=True)
    lost = int((~np.isfinite(duration)).sum())
    told = [*said, *(f"{path.name}: {each}" for each in unread)]
    return known, [*told, f"{path.name}: {lost} spans without a duration"] if lost else told


def calls_between(traces: pd.DataFrame) -> set[tuple[str, str]]:
    """Return (caller, callee) of every span whose parent belongs to another component."""
    owner = dict(zip(traces["span_id"], traces["component"], strict=True))
    pairs = zip(traces["parent_span_id"].map(owner), traces["component"], strict=True)
    return {(str(a), str(b)) for a, b in pairs if isinstance(a, str) and a != b}


def optional_tables(
    folder: Path,
) -> tuple[dict[str, pd.DataFrame], Mapping[str, list[str]]]:
    """Read ``logs.csv`` and ``traces.csv`` where they are, with the warnings of each."""
    tables, warnings = {}, {}
    for name, read in (("logs", read_logs), ("traces", read_spans)):
        if (folder / f"{name}.csv").is_file():
            tables[name], warnings[name] = read(folder / f"{name}.csv")
    return tables, warnings


def _succeeded(code: pd.Series) -> pd.Series:
    """Zero is gRPC's success, 2xx and 3xx are HTTP's; no code is no failure."""
    return code.str.fullmatch(r"(?:|nan|None|0(?:\.0)?|[23]\d\d(?:\.0)?|OK|Ok|UNSET)")


def _need(path: Path, table: pd.DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise CaseError(f"{path}: no column {', '.join(missing)}")
