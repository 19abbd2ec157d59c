# SPDX-License-Identifier: Apache-2.0
"""``requests.parquet``: the records as columns, with the names and types of their schema."""

from __future__ import annotations

from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from loadgen.errors import saving
from loadgen.outputs.extras import need
from loadgen.outputs.output import Output
from loadgen.records import Record, read_records
from loadgen.result import Result
from rcalab_common.files import whole_file

NAME = "requests.parquet"

_ROWS = 50_000


def check() -> None:
    """Raise if pyarrow is missing."""
    need("pyarrow", extra="parquet", what=NAME)


def write(result: Result) -> Path:
    """Write the file into a run's folder, some rows at a time.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    check()
    # An extra: without this file, nobody needs it.
    import pyarrow as pa
    from pyarrow import parquet

    names = list(Record.__dataclass_fields__)
    schema = pa.schema([pa.field(name, *_type(name, pa)) for name in names])
    path = result.folder / NAME
    records = read_records(result.requests_path)
    with (
        saving(path),
        whole_file(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        while chunk := list(islice(records, _ROWS)):
            columns = [[getattr(record, name) for record in chunk] for name in names]
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return path


def _type(name: str, pa: Any) -> tuple[Any, bool]:
    """Return a column's type, and whether it may be null, from the schema of the records."""
    types = {"integer": pa.int64(), "number": pa.float64(), "string": pa.string()}
    declared = _SCHEMA[name].get("type", "string")
    words = declared if isinstance(declared, list) else [declared]
    nullable = "null" in words or None in _SCHEMA[name].get("enum", ())
    return types[next(word for word in words if word != "null")], nullable


_SCHEMA: dict[str, Any] = orjson.loads(
    (files("loadgen") / "schemas" / "requests.json").read_bytes()
)["properties"]


OUTPUT = Output("parquet", NAME, check, write)
