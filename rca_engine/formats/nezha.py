# SPDX-License-Identifier: Apache-2.0
"""Nezha: metrics by the minute, logs and traces by the minute of a fault, a list of faults a day.

``rca_data/<day>/`` holds ``<day>-fault_list.json``, ``metric/<pod>_metric.csv`` (the whole day),
and three files ``{log,trace}/HH_MM_*.csv`` a fault; ``construct_data/<day>/`` holds logs and traces
without a fault. Any file may be gzipped.

Time
    ``inject_time`` is UTC and right; ``inject_timestamp`` is hours off and not used. It is the true
    time of the fault; there is no alert.
Normal period
    The logs and traces of ``construct_data`` and the 30 metric rows without a fault that are
    nearest in time. Both are moved in front of the case, for they were recorded before some faults
    and after others.
Incident
    The three minutes of logs and traces, of which the first began before the fault; the metric rows
    up to four minutes after it, or up to the next fault.

Source: Yu et al., Nezha: Interpretable Fine-Grained Root Causes Analysis for Microservices on
Multi-modal Observability Data, FSE 2023.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rca_engine import schemas
from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats import Entry, reader
from rca_engine.formats._build import in_memory, service, topology_of, truth_of
from rca_engine.formats._nezha_tables import Metrics, logs, metrics, spans
from rca_engine.formats._spans import calls_between
from rca_engine.formats._times import Ints
from rca_engine.formats._wide import long_table
from rca_engine.model import NS, GroundTruth
from rcalab_common.times import parse_utc

_STEP_NS = 60 * NS
_NORMAL_ROWS = 30
_FAULT_LASTS_NS, _RECOVERED_NS = 4 * 60 * NS, 6 * 60 * NS
_CASE_MINUTES = 3
_FAULT_METRICS = {"cpu_contention": ("CpuUsage(m)", "CpuUsageRate(%)")}
_SYSTEMS = {"ts-": "train-ticket"}
_POD = re.compile(r"-[bcdfghjklmnpqrstvwxz0-9]{5,10}-[a-z0-9]{5}$")


@dataclass(frozen=True)
class _Fault:
    """One entry of a day's list."""

    time_ns: int
    pod: str
    kind: str
    number: int


@reader("nezha", summary="Nezha: metrics, logs and traces of Train Ticket and Online Boutique")
def entries(root: Path) -> Iterator[Entry]:
    """List the faults of every day below ``root``, in order of time.

    Raises
    ------
    CaseError
        If there is no list of faults, or one can't be read.
    """
    lists = sorted(root.glob("**/rca_data/*/*-fault_list.json"))
    if not lists:
        raise CaseError(f"{root}: no rca_data/<day>/<day>-fault_list.json below it")
    for path in lists:
        for fault in _faults(path):
            minute = pd.Timestamp(fault.time_ns).strftime("%H_%M")
            yield Entry(
                case_id=f"{path.parent.name}/{minute}-{fault.number:02d}",
                system=_system(fault.pod),
                fault=fault.kind,
                load=functools.partial(_load, path, fault),
            )


def service_of(pod: str) -> str:
    """Return the service of a pod: its name without the hashes of replica set and pod."""
    return _POD.sub("", pod)


def _load(path: Path, fault: _Fault) -> Case:
    day, calm = path.parent, path.parents[2] / "construct_data" / path.parent.name
    table = _day_metrics(day / "metric")
    first, last, normal = _choose_rows(table, fault, [each.time_ns for each in _faults(path)])
    start_ns = int(table.times[first])
    moved = start_ns - _STEP_NS * np.arange(len(normal), 0, -1)
    rows = np.concatenate([normal, np.arange(first, last)])
    warnings = {"metrics": table.warnings}
    tables = {
        "metrics": long_table(
            np.concatenate([moved, table.times[first:last]]), table.keys, table.cells[rows]
        )
    }
    notes = [_rows_note(table.times[normal], fault)]
    for name, folder, read, column in (
        ("logs", "log", logs, "timestamp"),
        ("traces", "trace", spans, "start"),
    ):
        incident, said = read(_minutes(day / folder, fault.time_ns), service_of)
        before, calm_said = read(_csv_files(calm / folder), service_of)
        warnings[name] = (*said, *calm_said)
        if len(before) and len(incident):
            shift = incident[column].min() - pd.Timedelta(1, "us") - before[column].max()
            before = before.assign(**{column: before[column] + shift})
            notes.append(
                f"The fault-free {name} were moved by {shift.total_seconds():.0f} s, to right in "
                f"front of the case."
            )
        tables[name] = pd.concat([before, incident], ignore_index=True)
    target = service_of(fault.pod)
    return in_memory(
        day,
        run_id=f"nezha/{day.name}/{fault.number:02d}",
        experiment=f"nezha-{_system(fault.pod)}",
        scenario=day.name,
        run=fault.number,
        step_s=_STEP_NS / NS,
        tables=tables,
        metric_table=table.facts,
        topology=topology_of(
            [*(component for component, _ in table.keys), *tables["traces"]["component"].unique()],
            calls_between(tables["traces"]),
        ),
        truth=_truth(fault, target),
        notes=notes,
        warnings=warnings,
    )


def _rows_note(normal: Ints, fault: _Fault) -> str:
    furthest = float(np.abs(normal - fault.time_ns).max()) / NS / 60
    return (
        f"{len(normal)} fault-free rows of metrics, recorded within {furthest:.0f} min of the "
        f"fault, were moved in front of the case."
    )


def _faults(path: Path) -> list[_Fault]:
    found: list[_Fault] = []
    for each in (each for hour in schemas.read_json(path).values() for each in hour):
        try:
            time_ns = parse_utc(f"{each['inject_time'].replace(' ', 'T')}Z")
            found.append(_Fault(time_ns, each["inject_pod"], each["inject_type"], len(found)))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CaseError(f"{path}: fault {len(found)} can't be read: {error}") from None
    return sorted(found, key=lambda fault: fault.time_ns)


def _choose_rows(table: Metrics, fault: _Fault, faults: list[int]) -> tuple[int, int, Ints]:
    """Return the case's rows [first, last) and the fault-free rows nearest to them, ascending."""
    times, others = table.times, np.array(faults)
    later = others[others > fault.time_ns]
    end_ns = fault.time_ns + _FAULT_LASTS_NS
    end_ns = min([end_ns, *later.tolist()])
    first = max(int(np.searchsorted(times, fault.time_ns, side="right")) - 1, 0)
    last = int(np.searchsorted(times, end_ns, side="right"))
    since = times[:, None] - others[None, :]
    calm = ~((since > -_STEP_NS) & (since < _RECOVERED_NS)).any(axis=1)
    free = np.flatnonzero(calm)
    if last - first < 2 or not free.size:
        raise CaseError(f"no metrics around the fault of {pd.Timestamp(fault.time_ns)} UTC")
    nearest = np.argsort(np.abs(times[free] - fault.time_ns), kind="stable")[:_NORMAL_ROWS]
    return first, last, np.sort(free[nearest])


@functools.lru_cache(maxsize=2)
def _day_metrics(folder: Path) -> Metrics:
    return metrics(_csv_files(folder), service_of)


def _csv_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])


def _minutes(folder: Path, time_ns: int) -> list[Path]:
    """Return the files of the minutes from the fault's on; an absent one is left out."""
    start = pd.Timestamp(time_ns)
    names = [
        (start + pd.Timedelta(minutes=offset)).strftime("%H_%M") for offset in range(_CASE_MINUTES)
    ]
    return [path for path in _csv_files(folder) if path.name[:5] in names]


def _truth(fault: _Fault, target: str) -> GroundTruth:
    metrics: Any = _FAULT_METRICS.get(fault.kind, ())
    return truth_of(
        fault.kind, f"{fault.kind} of {target}", {service(target): metrics}, fault.time_ns
    )


def _system(pod: str) -> str:
    return next((name for start, name in _SYSTEMS.items() if pod.startswith(start)), "boutique")
