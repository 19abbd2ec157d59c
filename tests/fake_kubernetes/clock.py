# SPDX-License-Identifier: Apache-2.0
"""The time as Kubernetes writes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")


def now() -> str:
    """Return the time with seconds, as metav1.Time has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(duration: str) -> float:
    """Return the seconds of a Go duration such as `1m30s`.

    Raises
    ------
    ValueError
        If it is none.
    """
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration such as 1m30s")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
