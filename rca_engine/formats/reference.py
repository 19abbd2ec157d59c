# SPDX-License-Identifier: Apache-2.0
"""The reference system's prepared tree: ``<target>_<fault>/<n>/data.csv`` and its neighbours.

Columns are ``<container>_ctn_<cpu|network|memory|gpu>``, facts of pods and nodes, and
``<app>_latency-90``; ``mpg.csv`` holds the calls. What is told of pods and nodes is left out: names
and addresses are no metrics, and a node's figures stand once for each of its containers, which
would blame them all.

The values are what that system's collector made of the telemetry: ``ctn_network`` is squared and
``ctn_memory`` the rate of a gauge. They are read as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats import Entry, _folders, reader
from rca_engine.formats._build import service
from rca_engine.formats._folders import Folder
from rca_engine.formats._wide import Key, read_csv

_FILES = ("data.csv",)


@reader("reference", summary="the reference system's prepared data of LLM workloads")
def entries(root: Path) -> Iterator[Entry]:
    """List the cases below ``root``, in order of target, fault and iteration.

    Raises
    ------
    CaseError
        If there is none, or one is not named ``<target>_<fault>/<n>``.
    """
    for folder in _folders.find(root, _FILES):
        system = folder.path.parents[1].name
        yield Entry(
            case_id=folder.case_id,
            system=system,
            fault=folder.fault,
            load=functools.partial(_load, folder, system),
        )


def _load(folder: Folder, system: str) -> Case:
    return _folders.load(folder, system, _FILES, keep=_is_metric, calls=_calls)


def _is_metric(key: Key) -> bool:
    component, metric = key
    return not metric.startswith(("pod_", "node_")) and component != service("unknown")


def _calls(folder: Path) -> set[tuple[str, str]]:
    """Read ``mpg.csv``: calls between containers; its links to node addresses are no calls."""
    path = folder / "mpg.csv"
    if not path.is_file():
        return set()
    table, _ = read_csv(path, "source")
    if "destination" not in table.columns:
        raise CaseError(f"{path}: no column 'destination'")
    pairs = zip(table["source"].astype("str"), table["destination"].astype("str"), strict=True)
    return {
        (service(source), service(destination))
        for source, destination in pairs
        if ":" not in destination and source != destination
    }
