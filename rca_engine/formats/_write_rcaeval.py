# SPDX-License-Identifier: Apache-2.0
"""Write any case in RCAEval's layout, so that its methods and others' tools can read it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.model import NS
from rcalab_common.files import whole_file, write_text

_US = 1000


def write_rcaeval(case: Case, folder: Path) -> Path:
    """Write ``case`` to ``<folder>/<component>_<fault>/<n>/``.

    RCAEval splits names at their first ``_``: in a component's name, ``_`` becomes ``-``, and only
    the name is written, without the kind. One component is the cause there: of several the first.

    Returns
    -------
    Path
        The case's folder.

    Raises
    ------
    CaseError
        If the case has no true cause with a time, or two components would get one name.
    """
    truth = case.truth
    window = truth.fault_window if truth else None
    if truth is None or window is None or not truth.root_causes:
        raise CaseError(f"{case.path}: RCAEval's layout needs a true cause and its time")
    matrix = case.matrix()
    keys = [(str(key[0]), str(key[1])) for key in matrix.columns.to_flat_index()]
    names = _names(sorted({*(component for component, _ in keys), *truth.root_causes}))
    fault = re.sub(r"[^A-Za-z0-9-]+", "-", truth.fault).strip("-").lower()
    target = _next(folder / f"{names[min(truth.root_causes)]}_{fault}")
    wide = matrix.copy()
    wide.columns = pd.Index([f"{names[component]}_{metric}" for component, metric in keys])
    wide.insert(0, "time", pd.DatetimeIndex(matrix.index).as_unit("ns").asi8 // NS)
    _write(wide.drop_duplicates("time", keep="last"), target / "data.csv")
    for name, table in (("logs", _logs(case, names)), ("traces", _spans(case, names))):
        if len(table):
            _write(table, target / f"{name}.csv")
    write_text(target / "inject_time.txt", f"{window[0] // NS}\n")
    return target


def _logs(case: Case, names: dict[str, str]) -> pd.DataFrame:
    logs = case.table("logs")
    times = pd.DatetimeIndex(logs["timestamp"]).as_unit("ns").asi8
    return pd.DataFrame(
        {
            "time": times // NS,
            "timestamp": times,
            "container_name": _renamed(logs["component"], names),
            "message": logs["message"],
            "level": logs["level"],
        }
    )


def _spans(case: Case, names: dict[str, str]) -> pd.DataFrame:
    spans = case.table("traces")
    start = pd.DatetimeIndex(spans["start"]).as_unit("ns").asi8
    return pd.DataFrame(
        {
            "time": start // NS,
            "traceID": spans["trace_id"],
            "spanID": spans["span_id"],
            "serviceName": _renamed(spans["component"], names),
            "methodName": spans["name"],
            "operationName": spans["name"],
            "startTimeMillis": start // 1_000_000,
            "startTime": start // _US,
            "duration": spans["duration"] // _US,
            "statusCode": spans["status"].map({"error": "500"}).fillna("200"),
            "parentSpanID": spans["parent_span_id"],
        }
    )


def _renamed(components: pd.Series, names: dict[str, str]) -> pd.Series:
    return components.map(lambda name: names.get(name) or _plain(name))


def _plain(component: str) -> str:
    return component.partition("/")[2].replace("_", "-").replace("/", "-")


def _names(components: list[str]) -> dict[str, str]:
    names = {component: _plain(component) for component in components}
    if len(set(names.values())) < len(names):
        raise CaseError(f"two of the components would get one name: {', '.join(components)}")
    return names


def _next(parent: Path) -> Path:
    taken = [int(path.name) for path in parent.glob("*") if path.name.isdigit()]
    return parent / str(max(taken, default=0) + 1)


def _write(table: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)
