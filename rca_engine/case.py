# SPDX-License-Identifier: Apache-2.0
"""Read a case (format 1), show it to methods without its truth, and write one whole.

``docs/case.md`` lists the files; their formats are in ``rca_engine/schemas/``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rca_engine import schemas
from rca_engine.errors import CaseError
from rca_engine.model import Alert, CaseInfo, GroundTruth, Metric, Topology, Window
from rca_engine.schemas.tables import TABLES
from rcalab_common.files import sha256, write_json

FORMAT = 1
_ROW = ("timestamp", "component", "metric")


@dataclass(frozen=True)
class CaseView:
    """What a method may see of a case: no path, no truth, no name that tells the scenario.

    ``tables`` holds only the sources that the method declared.
    """

    window: Window
    step_s: float
    topology: Topology
    metric_table: Mapping[str, Metric]
    tables: Mapping[str, pd.DataFrame]

    def table(self, name: str) -> pd.DataFrame:
        """Return a declared source, for example ``metrics``; columns as in ``schemas.tables``.

        Raises
        ------
        CaseError
            If the method did not declare the source.
        """
        if name not in self.tables:
            raise CaseError(f"source {name!r} is not among the method's: {sorted(self.tables)}")
        return self.tables[name]

    @functools.cached_property
    def matrix(self) -> pd.DataFrame:
        """The metrics side by side, as :meth:`Case.matrix` has them; to look at, not to change."""
        return metric_matrix(self.table("metrics"))


@dataclass(frozen=True)
class Case:
    """One case. The JSON parts are read at once, each table on its first use.

    ``loaded`` holds the tables of a case that was read from another layout (``rca_engine.formats``)
    and has no files of format 1; ``path`` is then where its data lie.
    """

    path: Path
    info: CaseInfo
    topology: Topology
    metric_table: Mapping[str, Metric]
    manifest: Mapping[str, Any]
    truth: GroundTruth | None
    loaded: Mapping[str, pd.DataFrame] | None = field(default=None, repr=False)

    @classmethod
    def load(cls, path: Path | str) -> Case:
        """Open the case in the directory ``path``.

        Raises
        ------
        CaseError
            If there is no complete case, or one of another format version.
        """
        root = Path(path)
        if not (root / "case.json").is_file():
            raise CaseError(
                f"{root}: no case here (no case.json); harvest one with `rca-engine harvest` "
                f"or make one with `rca-engine simulate`"
            )
        document = schemas.read_json(root / "case.json")
        if document.get("format") != FORMAT:
            raise CaseError(
                f"{root}: the case has format {document.get('format')!r}, this version reads "
                f"format {FORMAT}; use the version of rca_engine that wrote it"
            )
        schemas.validate(document, "case", root / "case.json")
        return cls(
            path=root,
            info=CaseInfo.from_json(document),
            topology=Topology.from_json(schemas.read_json(root / "topology.json", "topology")),
            metric_table=metric_table(schemas.read_json(root / "metrics.json", "metrics")),
            manifest=schemas.read_json(root / "manifest.json", "manifest"),
            truth=read_truth(root / "ground_truth.json"),
        )

    def table(self, name: str) -> pd.DataFrame:
        """Return one table of ``schemas.tables.TABLES``; an absent one is an empty table.

        Raises
        ------
        CaseError
            If the file is broken or lacks a column.
        """
        return self._tables(name)

    @functools.cached_property
    def _tables(self) -> functools._lru_cache_wrapper[pd.DataFrame]:
        return functools.cache(self._read)

    def _read(self, name: str) -> pd.DataFrame:
        if self.loaded is None:
            return _read_table(self.path, name)
        return self.loaded[name] if name in self.loaded else _schema(name).empty_table().to_pandas()

    def matrix(self) -> pd.DataFrame:
        """Return the derived metrics side by side.

        Returns
        -------
        DataFrame
            Index: the step grid (UTC); columns: sorted pairs (component, metric); NaN where there
            is no value.
        """
        return metric_matrix(self.table("metrics"))

    def diagnoses(self) -> dict[str, dict[str, Any]]:
        """Return each method's ``diagnosis/<method>.json`` by name of the method."""
        return {
            path.stem: schemas.read_json(path, "diagnosis")
            for path in sorted((self.path / "diagnosis").glob("*.json"))
        }

    def view(self, sources: Iterable[str]) -> CaseView:
        """Return what a method that declared ``sources`` may see."""
        return CaseView(
            window=self.info.window,
            step_s=self.info.step_s,
            topology=self.topology,
            metric_table=self.metric_table,
            tables={name: self.table(name).copy() for name in sorted(sources)},
        )

    @property
    def alert(self) -> Alert | None:
        """The client's first breach of its SLO, null if there was none."""
        return self.info.alert


def metric_table(document: Mapping[str, Any]) -> dict[str, Metric]:
    """Read the vocabulary or a case's ``metrics.json``, each resolution filled from its unit."""
    units = document["units"]
    return {
        name: Metric(
            name=name,
            kind=entry["kind"],
            unit=entry["unit"],
            direction=entry["direction"],
            scope=entry["scope"],
            resolution=entry.get("resolution", units.get(entry["unit"], {}).get("resolution")),
            description=entry["description"],
            source=entry["source"],
        )
        for name, entry in document["metrics"].items()
    }


def metric_matrix(metrics: pd.DataFrame) -> pd.DataFrame:
    """Put a ``metrics`` table side by side: index timestamp, columns (component, metric).

    Both are sorted. The same as :meth:`pandas.DataFrame.pivot`, in a fraction of its time.

    Raises
    ------
    CaseError
        If a metric has two values at one time, or a row no time, component or metric.
    """
    codes, labels = zip(*(pd.factorize(metrics[key], sort=True) for key in _ROW), strict=True)
    if any((each < 0).any() for each in codes):
        raise CaseError(f"the metrics table has rows without {', '.join(_ROW)}")
    row, component, metric = codes
    pair = component * len(labels[2]) + metric
    present = np.zeros(len(labels[1]) * len(labels[2]), dtype=bool)
    present[pair] = True
    shape = len(labels[0]), int(np.count_nonzero(present))
    cell = row * shape[1] + (np.cumsum(present) - 1)[pair]
    _refuse_duplicates(metrics, cell, shape[0] * shape[1])
    values = np.full(shape[0] * shape[1], np.nan)
    values[cell] = metrics["value"].to_numpy(dtype=np.float64)
    components, names = np.divmod(np.flatnonzero(present), max(len(labels[2]), 1))
    return pd.DataFrame(
        values.reshape(shape),
        index=pd.DatetimeIndex(labels[0], name=_ROW[0]),
        columns=pd.MultiIndex.from_arrays(
            [labels[1][components], labels[2][names]], names=list(_ROW[1:])
        ),
    )


def _refuse_duplicates(metrics: pd.DataFrame, cell: npt.NDArray[np.int64], cells: int) -> None:
    filled = np.zeros(cells, dtype=bool)
    filled[cell] = True
    if np.count_nonzero(filled) == cell.size:
        return
    first = metrics[metrics.duplicated(list(_ROW))].iloc[0]
    raise CaseError(
        f"the metrics table has two values of {first['component']} {first['metric']} "
        f"at {first['timestamp']}; keep one"
    )


def read_truth(path: Path) -> GroundTruth | None:
    """Read a ``ground_truth.json``; None where there is none.

    Raises
    ------
    CaseError
        If it is no ground truth of format 1.
    """
    if not path.exists():
        return None
    document = schemas.read_json(path)
    try:
        return GroundTruth.from_json(document)
    except CaseError as error:
        raise CaseError(f"{path}: {error}") from None


def _schema(name: str) -> pa.Schema:
    if name not in TABLES:
        raise CaseError(f"a case has no table {name!r}; it has {', '.join(sorted(TABLES))}")
    return TABLES[name]


def _read_table(root: Path, name: str) -> pd.DataFrame:
    schema, path = _schema(name), root / f"{name}.parquet"
    try:
        table = pq.read_table(path, partitioning=None) if path.exists() else schema.empty_table()
        frame: pd.DataFrame = table.select(schema.names).cast(schema).to_pandas()
    except (pa.ArrowException, KeyError, OSError) as error:
        raise CaseError(f"{path}: not a {name} table of format {FORMAT}: {error}") from None
    return frame


class CaseWriter:
    """Build the files of a case beside their places, then move them there together.

    Use as a context manager. If the block raises, the run directory keeps what it had.
    ``case.json`` is removed first and moved last: where it stands, the case is complete.

    Parameters
    ----------
    run_dir
        The run's directory; made if absent. Files that are not the case's own stay.
    """

    def __init__(self, run_dir: Path | str) -> None:
        self.run_dir = Path(run_dir)

    def __enter__(self) -> Self:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._staging = Path(tempfile.mkdtemp(prefix=".case.", dir=self.run_dir))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            shutil.rmtree(self._staging)

    def write_table(self, name: str, columns: pd.DataFrame | Mapping[str, Any]) -> None:
        """Write ``<name>.parquet``; extra columns are an error, as are missing ones.

        Raises
        ------
        CaseError
            If the columns do not fit the table's schema.
        """
        schema = TABLES[name]
        data = dict(columns.items())
        if set(map(str, data)) != set(schema.names):
            raise CaseError(f"table {name}: columns {sorted(map(str, data))}, not {schema.names}")
        try:
            table = pa.table(
                [pa.array(data[key], type=schema.field(key).type) for key in schema.names],
                schema=schema,
            )
            table.validate(full=True)
        except (pa.ArrowException, OverflowError) as error:
            raise CaseError(f"table {name}: {error}") from None
        pq.write_table(table, self._staging / f"{name}.parquet", compression="zstd")

    def write(
        self,
        info: CaseInfo,
        topology: Topology,
        metrics: Mapping[str, Any],
        manifest: Mapping[str, Any],
    ) -> None:
        """Write the JSON parts; the manifest gets the SHA-256 of every other file of the case."""
        documents = {
            "topology": topology.to_json(),
            "metrics": dict(metrics),
            "case": info.to_json(),
        }
        for name, document in documents.items():
            schemas.validate(document, name, f"{name}.json")
            write_json(self._staging / f"{name}.json", document)
        files = {path.name: sha256(path) for path in sorted(self._staging.iterdir())}
        truth = self.run_dir / "ground_truth.json"
        if truth.exists():
            files[truth.name] = sha256(truth)
        document = {"format": FORMAT, **manifest, "files": files}
        schemas.validate(document, "manifest", "manifest.json")
        write_json(self._staging / "manifest.json", document)

    def _publish(self) -> None:
        staged = {path.name: path for path in self._staging.iterdir()}
        final = staged.pop("case.json", None)
        if final is None:
            raise CaseError("nothing to publish: CaseWriter.write was not called")
        (self.run_dir / "case.json").unlink(missing_ok=True)
        # A table that this harvest did not make must not stay from an earlier one.
        for name in TABLES.keys() - {Path(name).stem for name in staged}:
            (self.run_dir / f"{name}.parquet").unlink(missing_ok=True)
        for name, path in staged.items():
            path.replace(self.run_dir / name)
        final.replace(self.run_dir / "case.json")


def read_requests(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a ``requests.jsonl`` file.

    Raises
    ------
    CaseError
        If the file is absent or a line is no JSON object; a last line without its newline (a
        killed load run) is left out.
    """
    with contextlib.ExitStack() as stack:
        try:
            lines = stack.enter_context(path.open(encoding="utf-8"))
        except OSError as error:
            raise CaseError(f"{path}: no request records: {error.strerror}") from None
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise CaseError(f"{path}:{number}: not JSON: {error}") from None
            if not isinstance(record, dict):
                raise CaseError(f"{path}:{number}: expected a JSON object")
            yield record
