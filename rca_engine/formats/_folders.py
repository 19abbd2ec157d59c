# SPDX-License-Identifier: Apache-2.0
"""Case folders ``<target>_<fault>/<n>/`` with series side by side and ``inject_time.txt``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats._build import in_memory, service, topology_of, truth_of
from rca_engine.formats._causes import telling_metrics
from rca_engine.formats._names import metric_facts, split_name
from rca_engine.formats._spans import calls_between, optional_tables
from rca_engine.formats._times import UNKNOWN, epoch_ns, step_seconds
from rca_engine.formats._wide import Key, Wide, metrics_table, read_wide


@dataclass(frozen=True)
class Folder:
    """Where one case lies, and what its path tells."""

    path: Path
    target: str
    fault: str
    number: int

    @property
    def case_id(self) -> str:
        """Name in the data set."""
        return f"{self.target}_{self.fault}/{self.path.name}"


def find(root: Path, metric_files: tuple[str, ...]) -> Iterator[Folder]:
    """List the folders below ``root`` that hold an injection time and a file of metrics.

    Raises
    ------
    CaseError
        If there is none, or one is not named ``<target>_<fault>/<n>``.
    """
    folders = sorted(
        {path.parent for path in root.glob("**/inject_time.txt")},
        key=lambda path: (path.parts[:-1], _number(path.name), path.name),
    )
    folders = [path for path in folders if any((path / name).is_file() for name in metric_files)]
    if not folders:
        raise CaseError(
            f"{root}: no <target>_<fault>/<n>/ with inject_time.txt and one of "
            f"{', '.join(metric_files)} below it"
        )
    for path in folders:
        target, _, fault = path.parent.name.rpartition("_")
        if not target or not fault:
            raise CaseError(f"{path.parent}: not named <target>_<fault>")
        yield Folder(path, target, fault, _number(path.name))


def load(
    folder: Folder,
    system: str,
    metric_files: tuple[str, ...],
    *,
    keep: Callable[[Key], bool] = lambda _: True,
    calls: Callable[[Path], set[tuple[str, str]]] = lambda _: set(),
) -> Case:
    """Read a folder as a case.

    Parameters
    ----------
    folder
        Where it lies.
    system
        Its name in results.
    metric_files
        The first that is there is read.
    keep
        Which series are metrics at all.
    calls
        Reads pairs (caller, callee) from the folder.
    """
    name = next(name for name in metric_files if (folder.path / name).is_file())
    wide = _select(read_wide(folder.path / name), keep)
    keys = [split_name(column) for column in wide.names]
    start_ns = _injected(folder.path / "inject_time.txt")
    if not wide.times[0] <= start_ns <= wide.times[-1]:
        raise CaseError(f"{folder.path}: inject_time.txt lies outside the time of {name}")
    tables, warnings = optional_tables(folder.path)
    tables["metrics"] = metrics_table(wide, split_name)
    traces = tables.get("traces", pd.DataFrame())
    linked = calls(folder.path) | (calls_between(traces) if len(traces) else set())
    target = service(folder.target)
    telling = telling_metrics(folder.fault, [m for component, m in keys if component == target])
    return in_memory(
        folder.path,
        run_id=f"{system}/{folder.case_id}",
        experiment=system,
        scenario=folder.path.parent.name,
        run=folder.number,
        step_s=step_seconds(wide.times, folder.path / name),
        tables=tables,
        metric_table=metric_facts(metric for _, metric in keys),
        topology=topology_of([target, *(component for component, _ in keys)], linked),
        truth=truth_of(
            folder.fault, f"{folder.fault} of {folder.target}", {target: telling}, start_ns
        ),
        warnings={"metrics": wide.warnings, **warnings},
    )


def _select(wide: Wide, keep: Callable[[Key], bool]) -> Wide:
    at = [index for index, name in enumerate(wide.names) if keep(split_name(name))]
    return Wide(wide.times, tuple(wide.names[i] for i in at), wide.cells[:, at], wide.warnings)


def _injected(path: Path) -> int:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: not readable: {error}") from None
    times, _ = epoch_ns(pd.Series([text.splitlines()[0] if text else ""]))
    if times[0] == UNKNOWN:
        raise CaseError(f"{path}: holds no time: {text[:40]!r}")
    return int(times[0])


def _number(name: str) -> int:
    found = re.search(r"\d+$", name)
    return int(found[0]) if found else 0
