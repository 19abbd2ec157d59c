# SPDX-License-Identifier: Apache-2.0
"""Azure's LLM inference traces of 2023 (Splitwise) and 2024 (DynamoLLM), CSV.

``TIMESTAMP,ContextTokens,GeneratedTokens``: 2023 has no zone and seven digits of a second, 2024 an
offset and six or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from loadgen.trace import Format, Row, RowError, cells, columns, whole_number

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-]\d\d):?(\d\d))?$"
)


def _recognises(first: str) -> bool:
    return set(_COLUMNS) <= {name.strip() for name in first.split(",")}


def _reader(header: str) -> Callable[[str], Row | None]:
    places = columns(header, _COLUMNS, "Azure")

    def read(line: str) -> Row | None:
        if line == header or not line.strip():
            return None
        row = cells(line)
        if len(row) <= max(places):
            raise RowError(f"expected {len(_COLUMNS)} columns, got {len(row)}")
        when, prompt, output = (row[place] for place in places)
        return Row(
            _time_ns(when.strip()),
            whole_number("ContextTokens", prompt, least=1),
            max(1, whole_number("GeneratedTokens", output)),
        )

    return read


def _time_ns(text: str) -> int:
    match = _TIME.match(text)
    if match is None:
        raise RowError(f"TIMESTAMP is no time: {text!r}")
    day, clock, fraction, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    except ValueError as error:
        raise RowError(f"TIMESTAMP is no time: {text!r} ({error})") from error
    # By hand, as a datetime holds six digits of a second only.
    offset_s = int(hours + "1") // 10 * 3600 if hours else 0
    offset_s += (1 if offset_s >= 0 else -1) * int(minutes or 0) * 60
    return (int(moment.timestamp()) - offset_s) * 10**9 + int((fraction or "0").ljust(9, "0"))


FORMAT = Format("azure", _recognises, _reader)
