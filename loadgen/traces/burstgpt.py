# SPDX-License-Identifier: Apache-2.0
"""BurstGPT (Wang et al. 2024, arXiv:2401.17644), CSV, with or without its later columns.

``Timestamp`` is in seconds. A failed request has no response tokens: it came all the same, and is
played again with one token to ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from loadgen.trace import Format, Row, RowError, cells, columns, whole_number

_COLUMNS = ("Timestamp", "Request tokens", "Response tokens")


def _recognises(first: str) -> bool:
    return set(_COLUMNS) <= {name.strip() for name in first.split(",")}


def _reader(header: str) -> Callable[[str], Row | None]:
    places = columns(header, _COLUMNS, "BurstGPT")

    def read(line: str) -> Row | None:
        if line == header or not line.strip():
            return None
        row = cells(line)
        if len(row) <= max(places):
            raise RowError(f"expected the columns {', '.join(_COLUMNS)}, got {len(row)} cells")
        when, prompt, output = (row[place] for place in places)
        return Row(
            _time_ns(when),
            max(1, whole_number("Request tokens", prompt)),
            max(1, whole_number("Response tokens", output)),
        )

    return read


def _time_ns(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError as error:
        raise RowError(f"Timestamp is no number of seconds: {text!r}") from error
    if not math.isfinite(seconds) or abs(seconds) > 1e10:
        raise RowError(f"Timestamp is no number of seconds: {text!r}")
    return round(seconds * 1e9)


FORMAT = Format("burstgpt", _recognises, _reader)
