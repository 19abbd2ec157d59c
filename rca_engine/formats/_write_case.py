# SPDX-License-Identifier: Apache-2.0
"""Write any case as format 1."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from rca_engine.case import Case, CaseWriter
from rca_engine.errors import CaseError
from rca_engine.model import Metric
from rca_engine.schemas.tables import TABLES
from rcalab_common.files import write_json


def write_case(case: Case, folder: Path) -> Path:
    """Write ``case`` to ``folder`` as format 1.

    Metric names that format 1 does not allow (``latency-90``) get ``_`` for what is not allowed;
    ``metrics.json`` keeps the old name as the metric's source.

    Raises
    ------
    CaseError
        If the folder holds a case already, or two metric names would become one.
    """
    if (folder / "case.json").exists():
        raise CaseError(f"{folder}: holds a case already; name another folder")
    tables = {name: case.table(name) for name in TABLES}
    names = _allowed({*case.metric_table, *tables["metrics"]["metric"].unique()})
    tables["metrics"] = tables["metrics"].assign(metric=tables["metrics"]["metric"].map(names))
    if case.truth is not None:
        write_json(folder / "ground_truth.json", _renamed_truth(case.truth.record, names))
    info = case.info
    if info.alert is not None:
        alert = replace(info.alert, metric=names.get(info.alert.metric, info.alert.metric))
        info = replace(info, alert=alert)
    manifest = {key: value for key, value in case.manifest.items() if key != "files"}
    with CaseWriter(folder) as writer:
        for name, table in tables.items():
            if len(table):
                # Rows of one run lie together, so that the columns of names compress to nothing.
                writer.write_table(name, _without_missing(table))
        writer.write(info, case.topology, _metrics_document(case, names), manifest)
    return folder


def _allowed(names: Iterable[str]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for name in sorted(names):
        allowed = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
        allowed = f"_{allowed}" if allowed[0].isdigit() else allowed
        if allowed in renamed.values():
            raise CaseError(f"two metrics would both be called {allowed} in format 1: {name}")
        renamed[name] = allowed
    return renamed


def _metrics_document(case: Case, names: dict[str, str]) -> dict[str, Any]:
    metrics = {}
    for name, allowed in names.items():
        known = case.metric_table.get(name, Metric(name=name, kind="gauge", unit=""))
        entry: dict[str, Any] = {
            "kind": known.kind,
            "unit": known.unit,
            "direction": known.direction,
            "scope": known.scope,
            "source": dict(known.source) or {"series": [name]},
            "description": known.description,
        }
        if known.resolution is not None:
            entry["resolution"] = known.resolution
        metrics[allowed] = entry
    return {"format": 1, "units": {}, "metrics": metrics}


def _renamed_truth(record: Any, names: dict[str, str]) -> dict[str, Any]:
    causes = [
        {**cause, "metrics": [names.get(name, name) for name in cause["metrics"]]}
        for cause in record["root_causes"]
    ]
    return {**record, "root_causes": causes}


def _without_missing(table: pd.DataFrame) -> dict[str, Any]:
    """Return columns with None where pandas has NaN: text that is absent is null."""
    return {
        str(name): (
            column.astype(object).where(column.notna(), None)
            if pd.api.types.is_string_dtype(column.dtype)
            else column
        )
        for name, column in table.items()
    }
