# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory controller of a cgroup, version 1 and 2.

Names are the kernel's (Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import RefusedError
from .pods import Pod

_MEMINFO = Path("/proc/meminfo")
# Version 1 writes no limit as the largest number of pages.
_UNLIMITED_V1 = 2**62


@dataclass(frozen=True)
class MemoryCgroup:
    """One cgroup as its memory controller shows it."""

    version: int
    folder: Path

    @classmethod
    def of(cls, pod: Pod) -> MemoryCgroup:
        """Return a pod's; raise `RefusedError` where it has none."""
        if pod.cgroup is None:
            raise RefusedError(f"pod {pod.name} has no cgroup, and so no memory of its own")
        return cls(pod.cgroup.version, pod.controller("memory"))

    @property
    def limit_file(self) -> Path:
        """The file that holds the limit past which the kernel kills."""
        return self.folder / ("memory.limit_in_bytes" if self.version == 1 else "memory.max")

    @property
    def high_file(self) -> Path:
        """The file that holds the limit past which the kernel reclaims; version 2 only."""
        return self.folder / "memory.high"

    def usage(self) -> int:
        """Return the memory in use, page cache and all, in bytes."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        return int(_read(self.folder / name))

    def anonymous(self) -> int:
        """Return the memory that can't be reclaimed without swap, in bytes."""
        return self._counters("memory.stat")["total_rss" if self.version == 1 else "anon"]

    def files(self) -> int:
        """Return the page cache, which the kernel gives back before it kills, in bytes."""
        prefix, stat = "total_" if self.version == 1 else "", self._counters("memory.stat")
        return stat[f"{prefix}active_file"] + stat[f"{prefix}inactive_file"]

    def limit(self) -> int | None:
        """Return the limit in bytes; None is no limit."""
        text = _read(self.limit_file)
        return None if text == "max" or int(text) >= _UNLIMITED_V1 else int(text)

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed here for memory."""
        file = "memory.oom_control" if self.version == 1 else "memory.events"
        return self._counters(file)["oom_kill"]

    def reclaims(self) -> int:
        """Return how often ``memory.high`` made the kernel reclaim; version 2 only."""
        return self._counters("memory.events")["high"]

    def _counters(self, name: str) -> dict[str, int]:
        lines = _read(self.folder / name).splitlines()
        return {key: int(value) for key, value in (line.split() for line in lines)}


def available_bytes() -> int:
    """Return the machine's memory that can be had without swapping."""
    for line in _read(_MEMINFO).splitlines():
        name, _colon, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    raise OSError(f"{_MEMINFO} does not tell the available memory")


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
