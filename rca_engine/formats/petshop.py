# SPDX-License-Identifier: Apache-2.0
"""PetShop: ``<traffic>/{noissue,<split>/issue_<n>}/metrics.csv``, ``target.json``, ``graph.csv``.

The five rows of an issue keep their times; the rows of ``noissue/``, recorded months later, are
moved in front of them. Two times are known: the target's own, which is the alert, and the first row
of the issue, where the authors' analysis begins its abnormal period and which stands for the true
time of the fault. Every metric is one that a caller sees.

Source: Hardt et al., The PetShop Dataset: Finding Causes of Performance Issues across
Microservices, CLeaR 2024.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rca_engine import schemas
from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats import Entry, reader
from rca_engine.formats._build import (
    in_memory,
    moved_note,
    put_in_front,
    service,
    topology_of,
    truth_of,
)
from rca_engine.formats._times import epoch_ns, step_seconds
from rca_engine.formats._wide import Key, Wide, metrics_table, numbers, stack, tidy
from rca_engine.model import NS, Alert, Direction, Metric, Topology

_DIRECTIONS: dict[str, Direction] = {"latency": "up", "availability": "down", "requests": "both"}
_UNITS = {"latency": ("s", 0.005), "availability": ("%", 1.0), "requests": ("1", 1.0)}

_NO_THRESHOLD = (
    "The data name no threshold of the alert: the target's median in the normal period stands in "
    "its place."
)


@reader("petshop", summary="Amazon's PetShop: 5-minute statistics, a call graph, an alert")
def entries(root: Path) -> Iterator[Entry]:
    """List the issues below ``root``, in order of traffic, split and number.

    Raises
    ------
    CaseError
        If there is none, or a ``target.json`` can't be read.
    """
    found = sorted(root.glob("**/issue_*/target.json"), key=_order)
    if not found:
        raise CaseError(f"{root}: no <traffic>/<split>/issue_<n>/target.json below it")
    for path in found:
        issue, split, traffic = path.parent, path.parents[1].name, path.parents[2]
        yield Entry(
            case_id=f"{traffic.name}/{split}/{issue.name}",
            system=f"petshop-{traffic.name}-{split}",
            fault=str(_target(path)["target"]["metric"]),
            load=functools.partial(_load, issue),
        )


def _load(issue: Path) -> Case:
    traffic, document = issue.parents[1], _target(issue / "target.json")
    incident, normal = _read(issue / "metrics.csv"), _noissue(traffic / "noissue" / "metrics.csv")
    step_s = step_seconds(incident.times, issue / "metrics.csv")
    moved = put_in_front(normal.times, int(incident.times[0]), round(step_s * NS))
    both = stack([replace(normal, times=moved), incident])
    kind, cause = str(document["target"]["metric"]), str(document["root_cause"]["node"])
    metric = document["root_cause"]["metric"]
    topology = _graph(traffic / "graph.csv")
    return in_memory(
        issue,
        run_id=f"petshop/{traffic.name}/{issue.parent.name}/{issue.name}",
        experiment=f"petshop-{traffic.name}",
        scenario=issue.parent.name,
        run=_number(issue.name),
        step_s=step_s,
        tables={"metrics": metrics_table(both, _key)},
        metric_table=_metric_table(both),
        topology=topology_of(
            [
                *(each.id for each in topology.components),
                *(_key(name)[0] for name in both.names),
            ],
            [(each.source, each.target) for each in topology.edges],
        ),
        truth=truth_of(
            kind,
            f"{kind} of {cause}",
            {service(cause): [str(metric)] if metric else []},
            int(incident.times[0]),
        ),
        alert=_alert(document["target"], incident, normal),
        notes=[moved_note(normal.times, moved), _NO_THRESHOLD],
        warnings={"metrics": both.warnings},
    )


def _target(path: Path) -> dict[str, Any]:
    document = schemas.read_json(path)
    try:
        target, cause = document["target"], document["root_cause"]
        complete = {"node", "metric", "agg", "timestamp"} <= target.keys()
        complete = complete and {"node", "metric"} <= cause.keys()
    except (KeyError, AttributeError):
        complete = False
    if not complete:
        raise CaseError(f"{path}: names no target with its time, or no root cause")
    return document


@functools.lru_cache(maxsize=4)
def _noissue(path: Path) -> Wide:
    return _read(path)


def _read(path: Path) -> Wide:
    try:
        table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise CaseError(f"{path}: no CSV with a header of three rows: {error}") from None
    names = [
        _name(service(str(column[0])), f"{column[1]}_{column[2]}".lower())
        for column in table.columns.to_flat_index()
    ]
    times, said = epoch_ns(table.index.to_series())
    values, unread = numbers(table)
    return tidy(times, names, values, path, [f"{path.name}: {each}" for each in [*said, *unread]])


def _name(component: str, metric: str) -> str:
    return f"{component} {metric}"


def _key(name: str) -> Key:
    component, _, metric = name.rpartition(" ")
    return component, metric


def _metric_table(wide: Wide) -> dict[str, Metric]:
    table = {}
    for name in sorted({_key(name)[1] for name in wide.names}):
        quantity, _, statistic = name.partition("_")
        unit, resolution = _UNITS.get(quantity, ("", None))
        table[name] = Metric(
            name=name,
            kind="quantile" if statistic.startswith("p") else "gauge",
            unit=unit,
            direction=_DIRECTIONS.get(quantity, "both"),
            scope="external",
            resolution=resolution,
            description=f"{statistic} of {quantity} over five minutes",
        )
    return table


def _alert(target: dict[str, Any], incident: Wide, normal: Wide) -> Alert:
    component, metric = service(str(target["node"])), f"{target['metric']}_{target['agg']}".lower()
    times, _ = epoch_ns(pd.Series([target["timestamp"]]))
    name = _name(component, metric)
    seen = _series(incident, name)[incident.times >= times[0]]
    seen, usual = seen[np.isfinite(seen)], _series(normal, name)
    usual = usual[np.isfinite(usual)]
    if not seen.size or not usual.size:
        raise CaseError(f"the target {component} {metric} has no values beside its alert")
    return Alert(int(times[0]), component, metric, float(seen[0]), float(np.median(usual)))


def _series(wide: Wide, name: str) -> np.typing.NDArray[np.float64]:
    if name not in wide.names:
        return np.empty(0)
    return wide.cells[:, wide.names.index(name)]


@functools.lru_cache(maxsize=4)
def _graph(path: Path) -> Topology:
    """Read the matrix whose row calls the columns that hold 1."""
    try:
        table = pd.read_csv(path, index_col=0)
        linked = table.to_numpy(dtype=np.float64) > 0
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CaseError(f"{path}: no matrix of the call graph: {error}") from None
    callers = [service(str(name)) for name in table.index]
    callees = [service(str(name)) for name in table.columns]
    calls = [(callers[row], callees[column]) for row, column in np.argwhere(linked)]
    return topology_of([*callers, *callees], [pair for pair in calls if pair[0] != pair[1]])


def _number(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _order(path: Path) -> tuple[tuple[str, ...], int, str]:
    return path.parts[:-2], _number(path.parent.name), path.parent.name
