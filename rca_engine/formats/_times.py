# SPDX-License-Identifier: Apache-2.0
"""Times of other people's files as UTC nanoseconds.

Pandas 3 keeps datetimes in microseconds, pandas 2 in nanoseconds: a cast to integers without naming
the unit is silently wrong by a thousand, so every conversion names it here and nowhere else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_engine.errors import CaseError
from rca_engine.model import NS

Ints = npt.NDArray[np.int64]

UNKNOWN = np.iinfo(np.int64).min
"""Stands for a time that could not be read: what NaT is as an integer."""
_UNITS = ((1e11, NS), (1e14, NS // 1000), (1e17, NS // 1_000_000), (np.inf, 1))
"""Epoch numbers below the limit are in units of so many ns: a second of the year 5138 is 1e11."""


def epoch_ns(values: pd.Series) -> tuple[Ints, list[str]]:
    """Read times as UTC nanoseconds.

    Numbers are epoch seconds, milliseconds, microseconds or nanoseconds, told apart by their size.
    Text is ISO 8601, each value with its own zone.

    Parameters
    ----------
    values
        Numbers or text.

    Returns
    -------
    times
        Shape of ``values``; ``UNKNOWN`` where a value is no time.
    warnings
        What a reader must know of how they were read.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().any() and numbers.notna().sum() >= values.notna().sum() / 2:
        times, warnings = _from_numbers(numbers)
    else:
        times, warnings = _from_text(values)
    unread = int((times == UNKNOWN).sum())
    if unread:
        warnings.append(f"{unread} rows without a readable time were left out")
    return times, warnings


def _from_numbers(numbers: pd.Series) -> tuple[Ints, list[str]]:
    known = numbers[np.isfinite(numbers.to_numpy(dtype=np.float64))]
    times = np.full(len(numbers), UNKNOWN, dtype=np.int64)
    if known.empty:
        return times, []
    scale = next(factor for limit, factor in _UNITS if float(known.abs().median()) < limit)
    position = np.flatnonzero(numbers.index.isin(known.index))
    if pd.api.types.is_integer_dtype(known.dtype):
        times[position] = known.to_numpy(dtype=np.int64) * scale
    else:
        # A double holds epoch nanoseconds to 256 ns only: the whole part is scaled as an integer.
        whole = np.floor(known.to_numpy(dtype=np.float64))
        part = known.to_numpy(dtype=np.float64) - whole
        times[position] = whole.astype(np.int64) * scale + np.rint(part * scale).astype(np.int64)
    return times, []


def _from_text(values: pd.Series) -> tuple[Ints, list[str]]:
    text = values.astype("str").str.strip()
    read = pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce"))
    times: Ints = np.array(read.as_unit("ns").asi8, dtype=np.int64)
    zoned = text.str.contains(r"(?:[zZ]|[+-]\d\d:?\d\d)$", regex=True).to_numpy(dtype=bool)
    naive = int((~zoned & (times != UNKNOWN)).sum())
    return times, [f"{naive} times name no zone and were read as UTC"] if naive else []


def stamps(times: Ints) -> pd.DatetimeIndex:
    """Return UTC nanoseconds as the time stamps of a case's tables."""
    return pd.DatetimeIndex(times.view("datetime64[ns]")).tz_localize("UTC")


def step_seconds(times: Ints, where: object) -> float:
    """Return the usual distance between neighbouring times, in seconds.

    Raises
    ------
    CaseError
        If there are not two different times.
    """
    gaps = np.diff(np.unique(times))
    if not gaps.size:
        raise CaseError(f"{where}: fewer than two different times")
    return float(np.median(gaps)) / NS
