# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the kernel has killed for memory, by its own log (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import os
import re

_DEVICE = "/dev/kmsg"
_KILLED = re.compile(rb"Killed process (\d+) \(")
_RECORD_BYTES = 8192


class KernelLog:
    """The kernel's log from now on.

    Raises
    ------
    OSError
        If it can't be read; that takes root, or the right to read the system's log.
    """

    def __init__(self) -> None:
        self._handle = os.open(_DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._handle, 0, os.SEEK_END)

    def killed(self) -> list[int]:
        """Return the numbers of the processes that were killed for memory since the last call."""
        found: list[int] = []
        while True:
            try:
                record = os.read(self._handle, _RECORD_BYTES)
            except BlockingIOError:
                return found
            except BrokenPipeError:
                continue  # what came meanwhile has overwritten some records
            if match := _KILLED.search(record):
                found.append(int(match[1]))

    def close(self) -> None:
        """Read no more."""
        os.close(self._handle)
