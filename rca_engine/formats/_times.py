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
_FIRST_YEAR, _LAST_YEAR = 1970, 2262
_LATEST = float(np.iinfo(np.int64).max)
"""Nanoseconds since 1970 go to the year 2262."""


def epoch_ns(values: pd.Series) -> tuple[Ints, list[str]]:
    """Read times as UTC nanoseconds.

    Numbers are epoch seconds, milliseconds, microseconds or nanoseconds, told apart by their size.
    Text is ISO 8601, each value with its own zone. A time before 1970 is none: it is what a program
    writes that was never told one (Go's zero time is in the year 1).

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
    warnings: list[str] = []
    if numbers.notna().any() and numbers.notna().sum() >= values.notna().sum() / 2:
        times = _from_numbers(numbers)
    else:
        times, warnings = _from_text(values)
    unread = int((times == UNKNOWN).sum())
    if unread:
        warnings.append(f"{unread} rows without a readable time since 1970 were left out")
    return times, warnings


def _from_numbers(numbers: pd.Series) -> Ints:
    times = np.full(len(numbers), UNKNOWN, dtype=np.int64)
    values = numbers.to_numpy()
    held = (values >= 0) & np.isfinite(values)
    if not held.any():
        return times
    usual = float(np.median(values[held]))
    scale = next(factor for limit, factor in _UNITS if usual < limit)
    held &= values < _LATEST / scale
    known = values[held]
    if pd.api.types.is_integer_dtype(known.dtype):
        times[held] = known.astype(np.int64) * scale
    else:
        # A double holds epoch nanoseconds to 256 ns only: the whole part is scaled as an integer.
        whole = np.floor(known)
        times[held] = whole.astype(np.int64) * scale + np.rint((known - whole) * scale).astype(
            np.int64
        )
    return times


def _from_text(values: pd.Series) -> tuple[Ints, list[str]]:
    text = values.astype("str").str.strip()
    read = pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce"))
    # Go's zero time, in the year 1, has no nanoseconds since 1970.
    held = pd.DatetimeIndex(read.where((read.year >= _FIRST_YEAR) & (read.year < _LAST_YEAR)))
    times: Ints = np.array(held.as_unit("ns").asi8, dtype=np.int64)
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
