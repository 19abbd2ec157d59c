# SPDX-License-Identifier: Apache-2.0
"""RCAEval's RE1 to RE3: ``<set>/<service>_<fault>/<n>/``, simple or full.

Metrics are in ``simple_metrics.csv`` or ``simple_data.csv`` (a few series a service), else in
``data.csv`` or ``metrics.csv`` (all); the format ``rcaeval-full`` looks the other way round.
``logs.csv`` and ``traces.csv`` are read where they are. The injection time is the true time; there
is no alert.

Source: Pham et al., RCAEval: A Benchmark for Root Cause Analysis of Microservice Systems with
Telemetry Data, WWW 2025.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from rca_engine.case import Case
from rca_engine.formats import Entry, _folders, reader
from rca_engine.formats._folders import Folder

_SIMPLE = ("simple_metrics.csv", "simple_data.csv", "data.csv", "metrics.csv")
_FULL = ("metrics.csv", "data.csv", "simple_metrics.csv", "simple_data.csv")


@reader("rcaeval", summary="RCAEval's RE1 to RE3, its simple metrics where it has both")
def entries(root: Path) -> Iterator[Entry]:
    """List the cases below ``root``, in order of set, service, fault and number.

    Raises
    ------
    CaseError
        If there is none, or one is not named as RCAEval does.
    """
    return _entries(root, _SIMPLE)


@reader("rcaeval-full", summary="RCAEval's RE1 to RE3, all of its metrics")
def full_entries(root: Path) -> Iterator[Entry]:
    """List the cases below ``root`` to be read with all their metrics."""
    return _entries(root, _FULL)


def _entries(root: Path, files: tuple[str, ...]) -> Iterator[Entry]:
    for folder in _folders.find(root, files):
        system = folder.path.parents[1].name.lower()
        yield Entry(
            case_id=f"{system}/{folder.case_id}",
            system=system,
            fault=folder.fault,
            load=functools.partial(_load, folder, system, files),
        )


def _load(folder: Folder, system: str, files: tuple[str, ...]) -> Case:
    return _folders.load(folder, system, files)
