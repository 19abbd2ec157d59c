# SPDX-License-Identifier: Apache-2.0
"""What a piece of work takes of the machine: CPU time, and memory at its peak."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"


@dataclass
class Usage:
    """Filled when the block of :func:`measured` ends.

    Parameters
    ----------
    cpu_s
        CPU seconds of this process, all its threads.
    memory_mib
        How far the resident memory rose above where it was, at its peak; None where the system
        can't tell (only Linux can).
    """

    cpu_s: float = 0.0
    memory_mib: float | None = None


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure what the block takes."""
    usage = Usage()
    before = _resident(reset=True)
    began = time.process_time()
    try:
        yield usage
    finally:
        usage.cpu_s = time.process_time() - began
        peak = _resident(reset=False)
        if before is not None and peak is not None:
            usage.memory_mib = round(max(peak - before, 0) / 1024, 1)


def _resident(*, reset: bool) -> int | None:
    """Return the resident memory in KiB: now, with its peak set back to it, or its peak since."""
    try:
        if reset:
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        found = re.search(
            rf"^{'VmRSS' if reset else 'VmHWM'}:\s+(\d+) kB$",
            _STATUS.read_text(encoding="ascii"),
            re.MULTILINE,
        )
    except OSError:
        return None
    return int(found[1]) if found else None
