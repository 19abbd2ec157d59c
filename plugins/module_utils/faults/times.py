# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UTC in nanoseconds as text: RFC 3339 with nine fractional digits and ``Z``.

The form is that of ``rcalab_common.times``, which a managed host does not have.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def format_utc(ns: int) -> str:
    """Write epoch nanoseconds as ``2026-11-22T16:43:37.123456789Z``."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def now_text() -> str:
    """Return the wall clock as text."""
    return format_utc(time.time_ns())
