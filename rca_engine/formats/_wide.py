# SPDX-License-Identifier: Apache-2.0
"""CSV files with a time column and a column for each series, whatever is wrong with them.

Nothing is filled or guessed: what can't be used is left out and told, what is absent stays absent.
"""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_engine.errors import CaseError
from rca_engine.formats._times import UNKNOWN, Ints, epoch_ns, stamps

Floats = npt.NDArray[np.float64]
Key = tuple[str, str]


@dataclass(frozen=True)
class Wide:
    """Series side by side.

    Parameters
    ----------
    times
        Shape (rows,), UTC nanoseconds, ascending, each once.
    names
        One a column, each once.
    cells
        Shape (rows, columns), finite or NaN.
    warnings
        What was left out or looks odd.
    """

    times: Ints
    names: tuple[str, ...]
    cells: Floats
    warnings: tuple[str, ...] = ()


def read_csv(path: Path, time_column: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read a CSV file, gzipped or not, keeping every column under the name that the file gives.

    Parameters
    ----------
    path
        Its first row names the columns.
    time_column
        A column that must be there.

    Returns
    -------
    table
        With the file's names, of which two may be alike.
    warnings
        Rows that have more fields than the header are left out and told.

    Raises
    ------
    CaseError
        If the file can't be read as CSV, has no rows, or lacks the time column.
    """
    names = _header(path)
    if time_column is not None and time_column not in names:
        raise CaseError(f"{path}: no column {time_column!r}; it has {', '.join(names[:8])}")
    try:
        table, left_out = _parse(path, len(names))
    except (
        OSError,
        UnicodeDecodeError,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        csv.Error,
    ) as error:
        raise CaseError(f"{path}: not readable as CSV: {error}") from None
    if table.empty:
        raise CaseError(f"{path}: has no rows")
    table.columns = pd.Index(names)
    told = [f"{path.name}: {left_out} malformed rows were left out"] if left_out else []
    return table, told


def read_wide(path: Path, time_column: str = "time") -> Wide:
    """Read a CSV file of series side by side.

    Raises
    ------
    CaseError
        If the file can't be read, has no time column, or no row of it has a readable time.
    """
    table, told = read_csv(path, time_column)
    at = list(table.columns).index(time_column)
    times, said = epoch_ns(table.iloc[:, at])
    told += [f"{path.name}: {each}" for each in said]
    keep = [column for column in range(table.shape[1]) if column != at and table.columns[column]]
    names = [str(table.columns[column]) for column in keep]
    values, said = numbers(table.iloc[:, keep])
    told += [f"{path.name}: {each}" for each in said]
    return tidy(times, names, values, path, told)


def tidy(
    times: Ints, names: Sequence[str], values: Floats, where: Path, said: Sequence[str] = ()
) -> Wide:
    """Bring rows into the order of time and leave out what occurs twice, telling what was done.

    Raises
    ------
    CaseError
        If no row has a readable time.
    """
    told, known = list(said), times != UNKNOWN
    if not known.any():
        raise CaseError(f"{where}: no row has a readable time")
    times, values = times[known], values[known]
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.append(np.diff(times) > 0, True)
    if not last.all():
        told.append(f"{where.name}: of {int((~last).sum())} rows with a repeated time the last won")
    first = list(dict(reversed(list(zip(names, range(len(names)), strict=True)))).values())[::-1]
    if len(first) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        told.append(f"{where.name}: of columns with one name the first was kept: {_few(twice)}")
    wide = Wide(times[last], tuple(names[each] for each in first), values[last][:, first])
    told += [f"{where.name}: {each}" for each in _oddities(wide)]
    return Wide(wide.times, wide.names, wide.cells, tuple(told))


def metrics_table(wide: Wide, key: Callable[[str], Key]) -> pd.DataFrame:
    """Return series as rows of the table ``metrics``; a missing value is a missing row.

    Parameters
    ----------
    wide
        The series.
    key
        Gives the component and the metric of a column.
    """
    keys = [key(name) for name in wide.names]
    return long_table(wide.times, keys, wide.cells)


def stack(parts: Sequence[Wide]) -> Wide:
    """Put series below one another; a column that a part does not have is empty there.

    The parts follow one another in time, and none overlaps the next.
    """
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    place = {name: at for at, name in enumerate(names)}
    blocks = []
    for part in parts:
        block = np.full((len(part.times), len(names)), np.nan)
        block[:, [place[name] for name in part.names]] = part.cells
        blocks.append(block)
    return Wide(
        np.concatenate([part.times for part in parts]),
        names,
        np.vstack(blocks),
        tuple(warning for part in parts for warning in part.warnings),
    )


def long_table(times: Ints, keys: Sequence[Key], values: Floats) -> pd.DataFrame:
    """Return ``values`` of shape (times, keys) as rows of the table ``metrics``."""
    row, column = np.nonzero(np.isfinite(values))
    components = pd.array([component for component, _ in keys], dtype="str")
    metrics = pd.array([metric for _, metric in keys], dtype="str")
    return pd.DataFrame(
        {
            "timestamp": stamps(times[row]),
            "component": components.take(column),
            "metric": metrics.take(column),
            "value": values[row, column],
        }
    )


def _parse(path: Path, columns: int) -> tuple[pd.DataFrame, int]:
    """Return the rows below the header, and how many were left out as too long."""
    options: dict[str, Any] = {"header": None, "names": range(columns), "index_col": False}
    try:
        with warnings.catch_warnings():
            # Pandas would cut the surplus of a long first row off and go on.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(path, skiprows=1, low_memory=False, **options)
            return table, 0
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        with _opened(path) as lines:
            rows = [row for row in csv.reader(lines) if row][1:]
    good = [row for row in rows if not any(row[columns:])]
    text = io.StringIO()
    csv.writer(text).writerows(row[:columns] for row in good)
    text.seek(0)
    table = pd.read_csv(text, low_memory=False, **options)
    return table, len(rows) - len(good)


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _header(path: Path) -> list[str]:
    try:
        with _opened(path) as lines:
            names = next(csv.reader(lines), [])
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CaseError(f"{path}: not readable as CSV: {error}") from None
    if not names:
        raise CaseError(f"{path}: is empty")
    return [name.strip() for name in names]


def numbers(table: pd.DataFrame) -> tuple[Floats, list[str]]:
    """Return a table's cells as numbers, NaN where they are none, and what was wrong with them."""
    columns = [
        pd.to_numeric(table.iloc[:, each], errors="coerce") for each in range(table.shape[1])
    ]
    values = np.empty(table.shape, dtype=np.float64)
    for at, column in enumerate(columns):
        values[:, at] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    unread = int(np.isnan(values).sum() - table.isna().to_numpy().sum())
    endless = int(np.isinf(values).sum())
    values[np.isinf(values)] = np.nan
    told = [f"{unread} cells are no numbers"] if unread else []
    return values, [*told, f"{endless} cells are infinite"] if endless else told


def _oddities(wide: Wide) -> list[str]:
    """Say which series are empty, constant, start late or have holes: methods must cope with it."""
    known = np.isfinite(wide.cells)
    rows = np.arange(len(wide.times))[:, None]
    begun = np.where(known, rows, len(rows)).min(axis=0, initial=len(rows))
    ended = np.where(known, rows, -1).max(axis=0, initial=-1)
    empty = ~known.any(axis=0)
    least = np.where(known, wide.cells, np.inf).min(axis=0, initial=np.inf)
    most = np.where(known, wide.cells, -np.inf).max(axis=0, initial=-np.inf)
    holes = ~empty & (known.sum(axis=0) < ended - begun + 1)
    found = {
        "without any value": empty,
        "constant": ~empty & (least == most),
        "starting late": ~empty & (begun > 0),
        "with holes": holes,
    }
    told = [
        f"{int(mask.sum())} series {what}: {_few([wide.names[at] for at in np.flatnonzero(mask)])}"
        for what, mask in found.items()
        if mask.any()
    ]
    gaps = np.diff(wide.times)
    if gaps.size and gaps.max() > 1.5 * np.median(gaps):
        count = int((gaps > 1.5 * np.median(gaps)).sum())
        told.append(f"{count} gaps in time, the longest {gaps.max() / 1e9:g} s")
    return told


def _few(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
