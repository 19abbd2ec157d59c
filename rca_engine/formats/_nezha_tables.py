# SPDX-License-Identifier: Apache-2.0
"""Nezha's files as the tables of a case: metrics, logs, traces."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rca_engine.errors import CaseError
from rca_engine.formats._build import service
from rca_engine.formats._times import UNKNOWN, Ints, epoch_ns, stamps
from rca_engine.formats._wide import Floats, Key, numbers, read_csv, tidy
from rca_engine.model import NS, Direction, Metric

_LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b")
_NO_METRIC = ("Time", "TimeStamp", "PodName", "ServiceName")
_STEP_NS = 60 * NS

ServiceOf = Callable[[str], str]


@dataclass(frozen=True)
class Metrics:
    """A day's metrics on one grid of minutes; cells of shape (times, keys)."""

    times: Ints
    keys: tuple[Key, ...]
    cells: Floats
    facts: Mapping[str, Metric]
    warnings: tuple[str, ...]


def metrics(paths: Sequence[Path], service_of: ServiceOf) -> Metrics:
    """Read ``<pod>_metric.csv`` files onto one grid of minutes.

    The pods are scraped within seconds of each other: the first file's second stands for all. A
    second pod of a service is a replica of it, and the mean of both is the service's.

    Raises
    ------
    CaseError
        If there is no file, or one lacks its times.
    """
    if not paths:
        raise CaseError("no metric files")
    series: dict[Key, list[pd.Series]] = {}
    warnings: list[str] = []
    origin: int | None = None
    for path in paths:
        table, said = read_csv(path, "TimeStamp")
        times, unread = epoch_ns(table["TimeStamp"])
        component = _component(table, path, service_of)
        columns = [name for name in table.columns if name not in _NO_METRIC]
        values, odd = numbers(table[columns])
        wide = tidy(times, columns, values, path, [*said, *unread, *odd])
        warnings += wide.warnings
        origin = int(wide.times[0]) if origin is None else origin
        index = (wide.times - origin + _STEP_NS // 2) // _STEP_NS
        for at, name in enumerate(wide.names):
            series.setdefault((component, name), []).append(pd.Series(wide.cells[:, at], index))
    keys = tuple(sorted(series))
    columns_ = [functools.reduce(_mean, _once(series[key])) for key in keys]
    grid = pd.concat(columns_, axis=1).sort_index()
    facts = {name: _facts(name) for name in sorted({name for _, name in keys})}
    minutes: Ints = grid.index.to_numpy(dtype=np.int64)
    on_grid: Ints = minutes * _STEP_NS + (origin or 0)
    return Metrics(on_grid, keys, grid.to_numpy(dtype=np.float64), facts, tuple(warnings))


def logs(paths: Sequence[Path], service_of: ServiceOf) -> tuple[pd.DataFrame, list[str]]:
    """Read log files into the table ``logs``; what is no row of the file is left out and told."""
    tables, warnings = [], []
    for path in paths:
        table, said = read_csv(path, "TimeUnixNano")
        warnings += said
        times, unread = _log_times(table)
        warnings += [f"{path.name}: {each}" for each in unread]
        parsed = [_message(text) for text in table["Log"].astype("str")]
        broken = sum(plain for _, _, plain in parsed)
        if broken:
            warnings.append(f"{path.name}: {broken} log lines are no JSON and were kept as text")
        messages = pd.Series([text for text, _, _ in parsed], dtype="str")
        tables.append(
            pd.DataFrame(
                {
                    "timestamp": stamps(times),
                    "component": _components(table["PodName"], service_of),
                    "stream": pd.Series([stream for _, stream, _ in parsed], dtype="str"),
                    "level": messages.str.extract(_LEVEL, expand=False),
                    "message": messages,
                }
            )
        )
    return _joined(tables, "timestamp", _LOGS), warnings


def _log_times(table: pd.DataFrame) -> tuple[Ints, list[str]]:
    """Return each line's time; some have Go's zero time as a number, and their own as text."""
    times, said = epoch_ns(table["TimeUnixNano"])
    lost = times == UNKNOWN
    if lost.any() and "Timestamp" in table.columns:
        times[lost], said = epoch_ns(table["Timestamp"][lost])
        dated = int((times[lost] != UNKNOWN).sum())
        if dated:
            said.append(f"{dated} log lines have no time in TimeUnixNano but one in Timestamp")
    return times, said


def spans(paths: Sequence[Path], service_of: ServiceOf) -> tuple[pd.DataFrame, list[str]]:
    """Read trace files into the table ``traces``; a root has no parent."""
    tables, warnings = [], []
    for path in paths:
        table, said = read_csv(path, "StartTimeUnixNano")
        warnings += said
        parent = table["ParentID"].astype("str")
        (starts, unread), (ends, _) = (
            epoch_ns(table[f"{each}TimeUnixNano"]) for each in ("Start", "End")
        )
        endless = int(((starts != UNKNOWN) & (ends == UNKNOWN)).sum())
        if endless:
            unread.append(f"{endless} spans have no readable end and count as lasting 0 s")
        warnings += [f"{path.name}: {each}" for each in unread]
        tables.append(
            pd.DataFrame(
                {
                    "trace_id": table["TraceID"].astype("str"),
                    "span_id": table["SpanID"].astype("str"),
                    "parent_span_id": parent.where(~parent.isin(["root", "nan", ""]), None),
                    "component": _components(table["PodName"], service_of),
                    "name": table["OperationName"].astype("str"),
                    "kind": "internal",
                    "start": stamps(starts),
                    "duration": np.where((starts == UNKNOWN) | (ends == UNKNOWN), 0, ends - starts),
                    "status": "unset",
                    "attributes": "{}",
                }
            )
        )
    return _joined(tables, "start", _SPANS), warnings


_LOGS = ("timestamp", "component", "stream", "level", "message")
_SPANS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "component",
    "name",
    "kind",
    "start",
    "duration",
    "status",
    "attributes",
)


def _joined(tables: list[pd.DataFrame], time: str, columns: Sequence[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype="str") for name in columns})
    table = pd.concat(tables, ignore_index=True).dropna(subset=[time])
    # The minutes' files overlap by parts of a second, and hold the same rows there.
    return table.drop_duplicates().sort_values(time, kind="stable", ignore_index=True)


def _components(pods: pd.Series, service_of: ServiceOf) -> pd.Series:
    names = {pod: service(service_of(str(pod))) for pod in pods.unique()}
    return pods.map(names).astype("str")


def _message(text: str) -> tuple[str, str, bool]:
    """Return message, stream and whether the line was not the JSON that it should be."""
    try:
        record = json.loads(text)
        return str(record["log"]).rstrip("\n"), str(record.get("stream", "stdout")), False
    except (ValueError, TypeError, KeyError, AttributeError):
        return text, "stdout", True


def _component(table: pd.DataFrame, path: Path, service_of: ServiceOf) -> str:
    if "PodName" in table.columns:
        return service(service_of(str(table["PodName"].iloc[0])))
    # What the users see, measured at the front: no pod of the application.
    return "client/frontend" if "ServiceName" in table.columns else service(path.name.split("_")[0])


def _once(parts: list[pd.Series]) -> list[pd.Series]:
    return [part[~part.index.duplicated(keep="last")] for part in parts]


def _mean(left: pd.Series, right: pd.Series) -> pd.Series:
    return pd.concat([left, right], axis=1).mean(axis=1)


def _facts(name: str) -> Metric:
    low = name.lower()
    external = "latency" in low or "success" in low or "workload" in low
    direction: Direction = "both"
    if "success" in low:
        direction = "down"
    elif "latency" in low:
        direction = "up"
    return Metric(
        name=name,
        kind="quantile" if "latency" in low else "gauge",
        unit="s" if low.endswith("(s)") else "",
        direction=direction,
        scope="external" if external else "internal",
        resolution=0.005 if low.endswith("(s)") else None,
    )
