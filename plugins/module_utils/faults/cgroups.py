# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU controller of a cgroup, version 1 and 2: limit, accounting, processes.

Names and units are the kernel's (Documentation/scheduler/sched-bwc.rst and
Documentation/admin-guide/cgroup-v2.rst): quota and period in microseconds.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class CpuLimit:
    """How much CPU time a cgroup may use in each period.

    Attributes
    ----------
    quota_us
        CPU time a period in microseconds; None is no limit.
    period_us
        Length of the period in microseconds.
    """

    quota_us: int | None
    period_us: int

    @property
    def cores(self) -> float:
        """The limit in cores; infinite where there is none."""
        return float("inf") if self.quota_us is None else self.quota_us / self.period_us


@dataclass(frozen=True)
class CpuStat:
    """A cgroup's CPU counters since it was made.

    Attributes
    ----------
    usage_s
        CPU time used, in seconds.
    periods, throttled_periods
        Periods in which the cgroup was active, and those in which it ran into its quota.
    throttled_s
        How long it was held, summed over CPUs, in seconds.
    """

    usage_s: float
    periods: int
    throttled_periods: int
    throttled_s: float


class CpuCgroup(ABC):
    """One cgroup as its CPU controller shows it; make one with `cpu_cgroup`."""

    version: int

    def __init__(self, cpu: Path, cpuacct: Path) -> None:
        self.cpu = cpu
        self.cpuacct = cpuacct

    @property
    @abstractmethod
    def limit_file(self) -> Path:
        """The file that a limit is written to."""

    @abstractmethod
    def limit(self) -> CpuLimit:
        """Read the limit in force."""

    @abstractmethod
    def set_limit(self, limit: CpuLimit) -> None:
        """Put a limit in force."""

    @abstractmethod
    def stat(self) -> CpuStat:
        """Read the counters."""

    def pids(self) -> list[int]:
        """Return the numbers of the processes in the cgroup and in those below it."""
        return pids_in(self.cpu)

    def _counters(self) -> dict[str, int]:
        lines = (self.cpu / "cpu.stat").read_text(encoding="ascii").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}


class _CpuCgroupV1(CpuCgroup):
    version = 1

    @property
    def limit_file(self) -> Path:
        return self.cpu / "cpu.cfs_quota_us"

    @property
    def _period_file(self) -> Path:
        return self.cpu / "cpu.cfs_period_us"

    def limit(self) -> CpuLimit:
        quota = int(self.limit_file.read_text(encoding="ascii"))
        period = int(self._period_file.read_text(encoding="ascii"))
        return CpuLimit(quota if quota > 0 else None, period)

    def set_limit(self, limit: CpuLimit) -> None:
        if self.limit().period_us != limit.period_us:
            self._period_file.write_text(f"{limit.period_us}\n", encoding="ascii")
        quota = -1 if limit.quota_us is None else limit.quota_us
        self.limit_file.write_text(f"{quota}\n", encoding="ascii")

    def stat(self) -> CpuStat:
        counters = self._counters()
        usage = int((self.cpuacct / "cpuacct.usage").read_text(encoding="ascii"))
        return CpuStat(
            usage_s=usage / 1e9,
            periods=counters["nr_periods"],
            throttled_periods=counters["nr_throttled"],
            throttled_s=counters["throttled_time"] / 1e9,
        )


class _CpuCgroupV2(CpuCgroup):
    version = 2

    @property
    def limit_file(self) -> Path:
        return self.cpu / "cpu.max"

    def limit(self) -> CpuLimit:
        quota, period = self.limit_file.read_text(encoding="ascii").split()
        return CpuLimit(None if quota == "max" else int(quota), int(period))

    def set_limit(self, limit: CpuLimit) -> None:
        quota = "max" if limit.quota_us is None else limit.quota_us
        self.limit_file.write_text(f"{quota} {limit.period_us}\n", encoding="ascii")

    def stat(self) -> CpuStat:
        counters = self._counters()
        return CpuStat(
            usage_s=counters["usage_usec"] / 1e6,
            periods=counters["nr_periods"],
            throttled_periods=counters["nr_throttled"],
            throttled_s=counters["throttled_usec"] / 1e6,
        )


_VERSIONS: dict[int, type[CpuCgroup]] = {
    cgroup.version: cgroup for cgroup in (_CpuCgroupV1, _CpuCgroupV2)
}


def cpu_cgroup(version: int, cpu: Path, cpuacct: Path) -> CpuCgroup:
    """Return the CPU controller of the cgroup at ``cpu``.

    Parameters
    ----------
    version
        1 or 2.
    cpu, cpuacct
        The cgroup's folder in either hierarchy; the same one with version 2.

    Raises
    ------
    ValueError
        If the version is neither 1 nor 2.
    """
    if version not in _VERSIONS:
        raise ValueError(f"cgroup version {version!r} is neither 1 nor 2")
    return _VERSIONS[version](cpu, cpuacct)


def pids_in(folder: Path) -> list[int]:
    """Return the numbers of the processes in the cgroup at ``folder`` and in those below it."""
    return sorted(
        int(pid)
        for path in folder.rglob("cgroup.procs")
        for pid in path.read_text(encoding="ascii").split()
    )


def mount_points() -> list[Path]:
    """Return where the machine's cgroup hierarchies are mounted."""
    points = []
    for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
        fields, filesystem = line.split(" - ", maxsplit=1)
        if filesystem.split()[0] in ("cgroup", "cgroup2"):
            # proc(5): blanks and the like are written as octal escapes.
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields.split()[4])
            points.append(Path(point))
    return points


def is_cgroup_path(path: Path) -> bool:
    """Say whether ``path`` is plainly below a cgroup hierarchy's root, which never counts."""
    return (
        path.is_absolute()
        and ".." not in path.parts
        and any(point in path.parents for point in mount_points())
    )
