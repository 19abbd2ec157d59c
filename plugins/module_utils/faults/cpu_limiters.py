# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three ways to starve a pod of CPU: the kernel's quota, stopping its processes, or company.

The first two count as the kernel does: in each period the pod may use ``cores * period`` of CPU
time, and a period in which it had to wait is a throttled one. The third throttles nothing: other
threads in the pod's cgroup take their part of what the pod gets.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from abc import ABC, abstractmethod

from . import processes
from .cgroups import CpuCgroup, CpuLimit, CpuStat
from .errors import RefusedError
from .helpers import HELPER_MARGIN_S, Helpers
from .pods import Pod
from .undo import ContinuePod, SetCpuLimit
from .undo_action import UndoAction

# An idle pod's bursts touch a small quota now and then; a pod under load runs into it in most
# periods. The effect is seen when both bounds are passed.
_MIN_THROTTLED_PERIODS = 5
_MIN_THROTTLED_SHARE = 0.1
# Burners that get less than this share of a core have met no contention, or are held themselves.
_MIN_BURNT_SHARE = 0.15
_MIN_BURNT_S = 1.0
_IN_POD_SHARE = 0.8
# The kernel's least quota (Documentation/scheduler/sched-bwc.rst).
_MIN_QUOTA_US = 1000


class CpuLimiter(ABC):
    """Something that can hold one pod to a number of cores."""

    def __init__(self, cores: float) -> None:
        self._cores = cores

    @abstractmethod
    def preflight(self) -> None:
        """Raise `RefusedError` where the limit can't be set."""

    @abstractmethod
    def capture(self) -> UndoAction:
        """Return what undoes `start`."""

    @abstractmethod
    def start(self) -> None:
        """Begin to hold the pod."""

    @abstractmethod
    def stop(self) -> None:
        """End whatever this process itself does to the pod; the undo does the rest."""

    @property
    @abstractmethod
    def period_s(self) -> float:
        """The length of a period in seconds."""

    @abstractmethod
    def stat(self) -> CpuStat:
        """Return the pod's counters."""

    @abstractmethod
    def disturbance(self) -> str | None:
        """Say why the limit does not hold as set, if so."""

    def acts(self, elapsed_s: float, first: CpuStat, last: CpuStat) -> bool:
        """Say whether the counters, so many seconds apart, show that the pod is held."""
        throttled = last.throttled_periods - first.throttled_periods
        share = throttled * self.period_s / elapsed_s
        return throttled >= _MIN_THROTTLED_PERIODS and share >= _MIN_THROTTLED_SHARE

    def dose(self) -> dict[str, float]:
        """Return what it has to tell of the dose beyond the pod's counters."""
        return {}


class QuotaLimiter(CpuLimiter):
    """The CPU quota of the pod's cgroup."""

    def __init__(self, cgroup: CpuCgroup, cores: float) -> None:
        super().__init__(cores)
        self._cgroup = cgroup
        self._expected: CpuLimit | None = None

    def preflight(self) -> None:
        file, cores = self._cgroup.limit_file, self._cores
        try:
            limit = self._cgroup.limit()
            with file.open("r+"):  # the kernel checks the permission here, and nothing is written
                pass
        except FileNotFoundError as error:
            raise RefusedError(f"{file} is missing: its CPU controller is not enabled") from error
        except OSError as error:
            raise RefusedError(f"{file} can't be written ({error}); run as root") from error
        if limit.cores <= cores:
            raise RefusedError(
                f"the pod is limited to {limit.cores:g} cores already: {cores:g} would be no less"
            )
        if cores * limit.period_us < _MIN_QUOTA_US:
            raise RefusedError(
                f"{cores:g} cores of a period of {limit.period_us} us is less than the least quota "
                f"of {_MIN_QUOTA_US} us; ask for {_MIN_QUOTA_US / limit.period_us:g} or more"
            )

    def capture(self) -> UndoAction:
        self._expected = limit = self._cgroup.limit()
        return SetCpuLimit(
            version=self._cgroup.version,
            cpu=str(self._cgroup.cpu),
            cpuacct=str(self._cgroup.cpuacct),
            quota_us=limit.quota_us,
            period_us=limit.period_us,
        )

    def start(self) -> None:
        period = self._cgroup.limit().period_us
        self._expected = CpuLimit(round(self._cores * period), period)
        self._cgroup.set_limit(self._expected)

    def stop(self) -> None:
        """Nothing: the kernel holds the pod, and the undo ends that."""

    @property
    def period_s(self) -> float:
        return self._cgroup.limit().period_us / 1e6

    def stat(self) -> CpuStat:
        return self._cgroup.stat()

    def disturbance(self) -> str | None:
        limit = self._cgroup.limit()
        if limit != self._expected:
            return f"the CPU limit is {limit}, not {self._expected}: something else has set it"
        return None


class DutyCycleLimiter(CpuLimiter):
    """SIGSTOP and SIGCONT to the pod's processes, as its CPU use asks for it; no privilege needed.

    A thread gives the pod ``cores * period`` of CPU time a period and stops it when that is used.
    What it used too much counts against the next period; what it did not use is lost, as in the
    kernel. CPU time is read in clock ticks (10 ms), so that a period is right on average only.
    """

    _PERIOD_S = 0.1
    _LOOK_S = 0.01
    _RESCAN_S = 1.0

    def __init__(self, pod: Pod, cores: float) -> None:
        super().__init__(cores)
        self._pod = pod
        self._processes = pod.processes()
        # CPU time of each process as last seen, so that one that ends takes nothing away.
        self._seen = {process: processes.cpu_seconds(process) for process in self._processes}
        self._usage_s = 0.0
        self._periods = self._throttled_periods = 0
        self._throttled_s = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: str | None = None

    @property
    def period_s(self) -> float:
        return self._PERIOD_S

    def preflight(self) -> None:
        held = [process.pid for process in self._processes if processes.is_stopped(process)]
        if held:
            raise RefusedError(f"processes {held} of pod {self._pod.name} are stopped already")

    def capture(self) -> UndoAction:
        seen = tuple((process.pid, process.start) for process in self._processes)
        return ContinuePod(lab=self._pod.lab, pod=self._pod.name, processes=seen)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def stat(self) -> CpuStat:
        if self._thread is None:
            self._count_usage()
        return CpuStat(self._usage_s, self._periods, self._throttled_periods, self._throttled_s)

    def disturbance(self) -> str | None:
        return self._failure

    def _count_usage(self) -> float:
        used = 0.0
        for process in self._processes:
            total = processes.cpu_seconds(process)
            used += max(0.0, total - self._seen.get(process, 0.0))
            self._seen[process] = max(total, self._seen.get(process, 0.0))
        self._usage_s += used
        return used

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            processes.send(process, number)

    def _run(self) -> None:
        try:
            self._cycle(self._cores * self._PERIOD_S)
        except OSError as error:
            self._failure = f"the duty cycle ended: {error}"
        finally:
            self._send(signal.SIGCONT)

    def _cycle(self, budget_s: float) -> None:
        left_s = 0.0
        begin = scanned = time.monotonic()
        while not self._stopping.is_set():
            left_s = min(left_s, 0.0) + budget_s
            stopped_at = None
            if left_s > 0:
                self._send(signal.SIGCONT)
            else:
                stopped_at = begin
            end = begin + self._PERIOD_S
            while (now := time.monotonic()) < end:
                if stopped_at is None:
                    left_s -= self._count_usage()
                    if left_s <= 0:
                        self._send(signal.SIGSTOP)
                        stopped_at = now
                if self._stopping.wait(end - now if stopped_at is not None else self._LOOK_S):
                    break
            begin = time.monotonic()
            self._periods += 1
            if stopped_at is not None:
                self._throttled_periods += 1
                self._throttled_s += begin - stopped_at
            if begin - scanned > self._RESCAN_S:
                self._processes, scanned = self._pod.processes(), begin
                if stopped_at is not None:
                    self._send(signal.SIGSTOP)  # a child born since the last look


class StressLimiter(CpuLimiter):
    """Burners in the pod's cgroup: the pod's own threads get what those leave."""

    def __init__(self, cgroup: CpuCgroup, workers: int, helpers: Helpers) -> None:
        super().__init__(float(workers))
        self._cgroup = cgroup
        self._workers = workers
        self._helpers = helpers
        self._begin = 0.0

    def preflight(self) -> None:
        if not os.access(self._cgroup.cpu / "cgroup.procs", os.W_OK):
            raise RefusedError(f"{self._cgroup.cpu} takes no process of ours; run as root")

    def capture(self) -> UndoAction:
        return self._helpers.undo()

    def start(self) -> None:
        self._begin = time.monotonic()
        for _worker in range(self._workers):
            self._helpers.start("burn", cgroups=[self._cgroup.cpu, self._cgroup.cpuacct])

    def stop(self) -> None:
        self._helpers.close()

    @property
    def period_s(self) -> float:
        return self._cgroup.limit().period_us / 1e6

    def stat(self) -> CpuStat:
        return self._cgroup.stat()

    def disturbance(self) -> str | None:
        ended = self._helpers.ended()
        return f"the burners {ended} have ended" if ended else None

    def acts(self, elapsed_s: float, first: CpuStat, last: CpuStat) -> bool:
        burnt_s = self._helpers.cpu_seconds()
        if last.usage_s - first.usage_s < _IN_POD_SHARE * burnt_s:
            return False  # they burn, and not on the pod's account
        return burnt_s >= max(_MIN_BURNT_S, _MIN_BURNT_SHARE * self._workers * elapsed_s)

    def dose(self) -> dict[str, float]:
        elapsed_s = time.monotonic() - self._begin
        return {"stress_cores": round(self._helpers.cpu_seconds() / elapsed_s, 4)}


def cpu_limiter(
    mechanism: str, pod: Pod, cores: float, workers: int, duration_s: float
) -> CpuLimiter:
    """Return the limiter of a mechanism: ``cgroup_quota``, ``duty_cycle`` or ``stress``.

    Raises
    ------
    RefusedError
        If the pod has no cgroup to set a quota on, or to stress.
    """
    if mechanism == "duty_cycle":
        return DutyCycleLimiter(pod, cores)
    if pod.cgroup is None:
        raise RefusedError(f"pod {pod.name} has no cgroup; use the mechanism duty_cycle")
    if mechanism == "stress":
        return StressLimiter(pod.cgroup, workers, Helpers(duration_s + HELPER_MARGIN_S))
    return QuotaLimiter(pod.cgroup, cores)
