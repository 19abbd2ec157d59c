# SPDX-License-Identifier: Apache-2.0
"""A plain CSV file with a time column: anybody's own telemetry.

Side by side, a column each: ``component:metric`` is the clear way to name them; a column without
``:`` is read by a known ending (``carts_db_cpu``), else split at its first ``_``. Or in rows, with
the columns ``component``, ``metric`` and ``value``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats import Entry, reader
from rca_engine.formats._build import in_memory, service, topology_of
from rca_engine.formats._names import metric_facts, split_name
from rca_engine.formats._times import UNKNOWN, epoch_ns, stamps, step_seconds
from rca_engine.formats._wide import Key, metrics_table, numbers, read_csv, read_wide

_TIME_COLUMNS = ("time", "timestamp", "Time", "Timestamp", "TimeStamp", "datetime", "ts", "date")
_LONG = {"component", "metric", "value"}


@reader("csv", summary="a CSV file with a time column and a column for each series")
def entries(root: Path) -> Iterator[Entry]:
    """List ``root`` itself, or the CSV files in it; nobody knows their truth.

    Raises
    ------
    CaseError
        If there is none.
    """
    found = [root] if root.is_file() else sorted(root.glob("*.csv"))
    if not found:
        raise CaseError(f"{root}: no CSV file here")
    for path in found:
        yield Entry(path.name, "csv", "", functools.partial(read, path))


def read(path: Path | str) -> Case:
    """Read a CSV file as a case without topology, alert and truth.

    Raises
    ------
    CaseError
        If it can't be read, has no time column, or no usable row.
    """
    path = Path(path)
    header, _ = read_csv(path)
    time = next((name for name in _TIME_COLUMNS if name in header.columns), None)
    if time is None:
        raise CaseError(
            f"{path}: no time column; name it one of {', '.join(_TIME_COLUMNS)} "
            f"(it has {', '.join(map(str, header.columns[:8]))})"
        )
    if set(header.columns) >= _LONG:
        table, warnings = _rows(path, time)
        keys = list(zip(table["component"], table["metric"], strict=True))
        times = pd.DatetimeIndex(table["timestamp"]).as_unit("ns").asi8
    else:
        wide = read_wide(path, time)
        table, warnings, times = metrics_table(wide, _key), list(wide.warnings), wide.times
        keys = [_key(name) for name in wide.names]
    if table.empty:
        raise CaseError(f"{path}: no series with numbers")
    return in_memory(
        path,
        run_id=path.name,
        experiment="csv",
        scenario=path.stem,
        run=0,
        step_s=step_seconds(np.asarray(times, dtype=np.int64), path),
        tables={"metrics": table},
        metric_table=metric_facts(metric for _, metric in keys),
        topology=topology_of(component for component, _ in keys),
        truth=None,
        notes=warnings,
        warnings={"metrics": warnings},
    )


def _key(column: str) -> Key:
    component, colon, metric = column.rpartition(":")
    if not colon or not component or not metric:
        return split_name(column)
    return _component(component), metric


def _component(name: str) -> str:
    """Return a name that is ``kind/name`` already as it is, any other as a service."""
    kind, slash, rest = name.partition("/")
    return name if slash and rest and kind.isalpha() and kind.islower() else service(name)


def _rows(path: Path, time: str) -> tuple[pd.DataFrame, list[str]]:
    table, warnings = read_csv(path)
    times, said = epoch_ns(table[time])
    cells, odd = numbers(table[["value"]])
    rows = pd.DataFrame(
        {
            "timestamp": stamps(times),
            "component": table["component"].astype("str").map(_component),
            "metric": table["metric"].astype("str"),
            "value": cells[:, 0],
        }
    )
    rows = rows[(times != UNKNOWN) & np.isfinite(cells[:, 0])]
    once = rows.drop_duplicates(["timestamp", "component", "metric"], keep="last")
    warnings += [f"{path.name}: {each}" for each in [*said, *odd]]
    if len(once) < len(rows):
        warnings.append(f"{path.name}: of {len(rows) - len(once)} repeated rows the last won")
    return once.sort_values("timestamp", kind="stable", ignore_index=True), warnings
