# SPDX-License-Identifier: Apache-2.0
"""UTC time in nanoseconds since the epoch, and its one text form.

Text is RFC 3339 with nine fractional digits and ``Z``: ``2026-11-22T16:43:37.123456789Z``.
Floats never carry a time: a double holds epoch nanoseconds only to about 256 ns.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

_NS = 1_000_000_000
_TEXT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def now_ns() -> int:
    """Return the wall clock as UTC nanoseconds since the epoch."""
    return time.time_ns()


def format_utc(ns: int) -> str:
    """Write epoch nanoseconds as RFC 3339 text with nine digits and ``Z``."""
    seconds, fraction = divmod(ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def parse_utc(text: str) -> int:
    """Read RFC 3339 text (any offset, up to nine digits) as epoch nanoseconds.

    Raises
    ------
    ValueError
        If the text is no RFC 3339 date and time, or names no offset.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time with an offset: {text!r}")
    head, fraction, offset = match.groups()
    seconds = int(datetime.fromisoformat(head + offset.replace("Z", "+00:00")).timestamp())
    return seconds * _NS + int((fraction or "0").ljust(9, "0"))
