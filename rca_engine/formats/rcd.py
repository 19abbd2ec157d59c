# SPDX-License-Identifier: Apache-2.0
"""The Sock Shop data of RCD: ``<service>-<fault>/<n>/{normal,anomalous}.csv``.

The two files were recorded hours apart, at the same step of a second. The incident keeps its times
and the normal rows are moved in front of it, so that the boundary between the files is the true
time of the fault. Cells that look missing stay missing.

Source: Ikram et al., Root Cause Analysis of Failures in Microservices through Causal Discovery,
NeurIPS 2022; the set is known as RCAEval's "Sock Shop 1".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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
from rca_engine.formats._names import metric_facts, split_name
from rca_engine.formats._times import step_seconds
from rca_engine.formats._wide import metrics_table, read_wide, stack
from rca_engine.model import NS

_SYSTEM = "sock-shop-1"


@reader("rcd", summary="RCD's Sock Shop: normal.csv and anomalous.csv, one a case")
def entries(root: Path) -> Iterator[Entry]:
    """List the cases below ``root``, in order of fault and number.

    Raises
    ------
    CaseError
        If there is none.
    """
    found = sorted(root.glob("**/anomalous.csv"), key=lambda path: (path.parts[:-2], _order(path)))
    if not found:
        raise CaseError(f"{root}: no <service>-<fault>/<n>/anomalous.csv below it")
    for path in found:
        target, _, fault = path.parents[1].name.rpartition("-")
        if not target:
            raise CaseError(f"{path.parents[1]}: not named <service>-<fault>")
        yield Entry(
            case_id=f"{target}-{fault}/{path.parent.name}",
            system=_SYSTEM,
            fault=fault,
            load=functools.partial(_load, path.parent, target, fault),
        )


def _load(folder: Path, target: str, fault: str) -> Case:
    normal, incident = read_wide(folder / "normal.csv"), read_wide(folder / "anomalous.csv")
    step_s = step_seconds(incident.times, folder / "anomalous.csv")
    start_ns = int(incident.times[0])
    moved = put_in_front(normal.times, start_ns, round(step_s * NS))
    both = stack([replace(normal, times=moved), incident])
    keys = {name: split_name(name) for name in both.names}
    table = metrics_table(both, keys.__getitem__)
    return in_memory(
        folder,
        run_id=f"{_SYSTEM}/{folder.parent.name}/{folder.name}",
        experiment=_SYSTEM,
        scenario=folder.parent.name,
        run=int(folder.name) if folder.name.isdigit() else 0,
        step_s=step_s,
        tables={"metrics": table},
        metric_table=metric_facts(metric for _, metric in keys.values()),
        topology=topology_of(component for component, _ in keys.values()),
        truth=truth_of(fault, f"{fault} of {target}", {service(target): [fault]}, start_ns),
        notes=[moved_note(normal.times, moved)],
        warnings={"metrics": both.warnings},
    )


def _order(path: Path) -> tuple[str, int, str]:
    number = path.parent.name
    return path.parents[1].name, int(number) if number.isdigit() else 0, number
