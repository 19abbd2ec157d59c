# SPDX-License-Identifier: Apache-2.0
"""Which metrics a fault's name makes the cause, in data sets that name only the fault."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TELLING = {
    "cpu": "cpu",
    "mem": "mem",
    "memory": "mem",
    "disk": "disk|^fs[-_]",
    "socket": "socket",
    "delay": "^lat",
    "loss": "^lat|error",
    "network": "network|^lat",
    "gpu": "gpu",
}


def telling_metrics(fault: str, metrics: Iterable[str]) -> list[str]:
    """Return those of a component's metrics that are the fault itself, in order of names.

    None for a fault in code, whose metric nobody knows.
    """
    pattern = _TELLING.get(fault)
    if pattern is None:
        return []
    return sorted({name for name in metrics if re.search(pattern, name)})
