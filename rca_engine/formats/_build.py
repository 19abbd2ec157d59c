# SPDX-License-Identifier: Apache-2.0
"""Make a case in memory of what was read from another layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats._times import Ints
from rca_engine.model import (
    NS,
    Alert,
    CaseInfo,
    Component,
    Edge,
    GroundTruth,
    Metric,
    Topology,
    Window,
)
from rcalab_common.times import format_utc

SERVICE = "service"


def service(name: str) -> str:
    """Return the component of a service."""
    return f"{SERVICE}/{name}"


def in_memory(
    path: Path,
    *,
    run_id: str,
    experiment: str,
    scenario: str,
    run: int,
    step_s: float,
    tables: Mapping[str, pd.DataFrame],
    metric_table: Mapping[str, Metric],
    topology: Topology,
    truth: GroundTruth | None,
    alert: Alert | None = None,
    notes: Sequence[str] = (),
    warnings: Mapping[str, Sequence[str]] | None = None,
) -> Case:
    """Return a case whose tables are in memory.

    ``notes`` are for every reader of a result; ``warnings``, by table, go into the manifest.

    Raises
    ------
    CaseError
        If the tables hold less than two moments.
    """
    info = CaseInfo(
        run_id=run_id,
        experiment=experiment,
        scenario=scenario,
        run=run,
        seed=0,
        window=_window(path, tables),
        step_s=step_s,
        platform="unknown",
        engine="none",
        sources={name: len(table) for name, table in sorted(tables.items())},
        alert=alert,
        notes=tuple(notes),
    )
    manifest = {
        "format": 1,
        "sources": {
            name: {"rows": len(table), "warnings": list((warnings or {}).get(name, ()))}
            for name, table in sorted(tables.items())
        },
        "completeness": [],
        "files": {},
    }
    return Case(path, info, topology, dict(metric_table), manifest, truth, loaded=dict(tables))


def truth_of(
    fault: str, name: str, root_causes: Mapping[str, Sequence[str]], start_ns: int | None
) -> GroundTruth:
    """Return a truth of which no more is known than the fault, its place and its time."""
    causes = {component: tuple(metrics) for component, metrics in root_causes.items()}
    times = {"effect_first_seen": start_ns, "revert_verified": None}
    record: dict[str, Any] = {
        "format": 1,
        "fault": fault,
        "name": name,
        "sham": False,
        "outcome": "effective",
        "root_causes": [
            {"component": component, "metrics": list(metrics)}
            for component, metrics in causes.items()
        ],
        "times": {step: None if time is None else format_utc(time) for step, time in times.items()},
    }
    return GroundTruth(fault, name, False, "effective", causes, times, record)


def topology_of(components: Iterable[str], calls: Iterable[tuple[str, str]] = ()) -> Topology:
    """Return a topology of component ids and of pairs (caller, callee), in order of names."""
    edges = tuple(Edge(caller, callee, "calls") for caller, callee in sorted(set(calls)))
    known = {*components, *(end for each in edges for end in (each.source, each.target))}
    return Topology(tuple(component_of(name) for name in sorted(known)), edges)


def component_of(name: str) -> Component:
    """Return the component of an id, ``kind/name``; the name may have slashes of its own."""
    kind, _, rest = name.partition("/")
    return Component(kind, rest)


def put_in_front(normal: Ints, first: int, step_ns: int) -> Ints:
    """Move times so that the last comes a step before ``first``; distances stay as they are."""
    moved: Ints = normal + (first - step_ns - int(normal[-1]))
    return moved


def moved_note(normal: Ints, moved: Ints) -> str:
    """Say how far the normal period was moved."""
    seconds = (int(moved[-1]) - int(normal[-1])) / NS
    where = "later" if seconds >= 0 else "earlier"
    return (
        f"The normal period was recorded apart (it ended {format_utc(int(normal[-1]))}); its times "
        f"were moved {abs(seconds):g} s {where}, right in front of the incident."
    )


def _window(path: Path, tables: Mapping[str, pd.DataFrame]) -> Window:
    columns = {"metrics": "timestamp", "logs": "timestamp", "traces": "start"}
    seen = [
        pd.DatetimeIndex(tables[name][column]).as_unit("ns").asi8
        for name, column in columns.items()
        if name in tables and len(tables[name])
    ]
    if not seen:
        raise CaseError(f"{path}: no row of it could be used")
    return Window(min(int(each.min()) for each in seen), max(int(each.max()) for each in seen))
