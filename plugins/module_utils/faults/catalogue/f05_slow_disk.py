# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F05: a pod's disk is slow."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..contract import DURATION, Fault, Parameter, Target
from ..errors import RefusedError
from ..helpers import HELPER_MARGIN_S, Helpers
from ..io_limits import IoLimit, device_of
from ..undo import LiftIoLimit, Undo
from ..undo_action import UndoAction

_KIB = 1024
_CONTROLLER = {1: "blkio", 2: "io"}
# A probe reads what the limit lets through in half a second, and one block at least.
_PROBE_S = 0.5
_LEAST_PROBE = 64 * _KIB
_TOLERANCE = 1.5


class SlowDisk(Fault):
    """Hold what a pod reads from and writes to its disk to a rate."""

    id = "F05"
    name = "slow_disk"
    summary = "The pod may read and write its disk at so many KiB a second and no faster."
    layer = "storage"
    symptoms = (
        "The machine's I/O pressure rises while the pod reads or writes. On this platform the "
        "service shows nothing: the model is in memory, and a pod writes little but logs."
    )
    requirements = (
        "Root, a blkio or io cgroup for each pod, and the lab's folder on a block device."
    )
    kinds = ("replica", "head", "gateway")
    mechanisms: ClassVar[Mapping[str, str | None]] = {"io_throttle": "netns"}
    parameters = (
        Parameter("rate_kib_s", 512, 64, 1_048_576, "What may be read, and written, in KiB/s."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._rate = round(self.values["rate_kib_s"]) * _KIB
        self._helpers = Helpers(self.duration_s + HELPER_MARGIN_S)
        # The interpreter is on a disk, and is long enough to be read in blocks.
        self._file = Path(sys.executable).resolve()
        self._before = 0.0
        self._seen: list[float] = []

    @functools.cached_property
    def _limit(self) -> IoLimit:
        pod, folder = self.target.pod, self.target.lab.folder
        if pod.cgroup is None or folder is None:
            raise RefusedError(f"{self.id} needs a pod with cgroups, of a lab with a folder")
        version = pod.cgroup.version
        return IoLimit(version, pod.controller(_CONTROLLER[version]), device_of(folder))

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ()  # no series of a pod shows it

    def root_causes(self) -> dict[str, tuple[str, ...]]:
        node = self.target.lab.node
        causes = {} if node is None else {node: ("node_pressure_io_waiting_rate",)}
        return {**super().root_causes(), **causes}

    def intended_dose(self) -> dict[str, float]:
        return {"rate_kib_s": self._rate / _KIB}

    def preflight(self) -> None:
        for file in self._limit.files:
            if not os.access(file, os.W_OK):
                raise RefusedError(f"{file} can't be written: is the controller enabled?")
        if lines := self._limit.lines():
            raise RefusedError(f"the disk is limited already: {'; '.join(lines)}")
        if device_of(self._file) != self._limit.device:
            raise RefusedError(
                f"{self._file} is on another disk than the lab's folder: the dose can't be measured"
            )

    def capture(self) -> tuple[UndoAction, ...]:
        self._before = self._probe()
        if self._before <= _TOLERANCE * self._rate:
            raise RefusedError(
                f"the disk gives {self._before / _KIB:.0f} KiB/s without the fault: ask for less "
                f"than {self._before / _KIB / _TOLERANCE:.0f}"
            )
        limit = self._limit
        return (
            self._helpers.undo(),
            LiftIoLimit(limit.version, str(limit.folder), limit.device),
        )

    def _probe(self) -> float:
        """Read as a process of the pod, past the page cache; return the bytes a second."""
        size = max(_LEAST_PROBE, round(self._rate * _PROBE_S))
        process = self._helpers.start(
            "read", f"--path={self._file}", f"--bytes={size}", cgroups=[self._limit.folder]
        )
        said = self._helpers.answer(process, size / self._rate * 3 + 2)
        if not said:
            process.kill()  # the limit holds it up, and a slow end is no reason to wait
            return 0.0
        try:
            return size / float(said)
        except (ValueError, ZeroDivisionError) as error:
            raise OSError(f"the disk can't be read past the page cache: {said}") from error

    def inject(self) -> None:
        self._limit.set(self._rate)

    def verify_effect(self) -> bool:
        begin, rate = time.monotonic(), self._probe()
        # A probe that came through at once has met what the kernel lets pass in one go.
        if time.monotonic() - begin < _PROBE_S / 2:
            return False
        self._seen.append(rate)
        return 0 < rate <= _TOLERANCE * self._rate

    def disturbance(self) -> str | None:
        if not self._limit.lines():
            return "something else has lifted the limit"
        return None

    def measured_dose(self) -> dict[str, float]:
        seen = {"rate_kib_s": self._seen[-1]} if self._seen else {}
        doses = {"rate_kib_s_before": self._before, **seen}
        return {name: round(value / _KIB, 1) for name, value in doses.items()}

    def revert(self, undo: Undo) -> None:
        self._helpers.close()
        super().revert(undo)
