# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F04: a pod's memory passes its limit, and the kernel kills the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .. import processes
from ..contract import DURATION, Parameter, Target
from ..engine_stop import engine_processes
from ..errors import RefusedError
from ..helpers import HELPER_MARGIN_S, Helpers
from ..kernel_log import KernelLog
from ..memory_cgroups import MemoryCgroup, available_bytes
from ..processes import Process
from ..restart_fault import RestartFault
from ..undo import Undo
from ..undo_action import UndoAction
from ..undo_memory import SetMemoryLimit, SetOomScores

_MIB = 1024 * 1024
_WORST_SCORE = 1000
# Of the ballast: if the limit is passed once more before it is lifted, the ballast is next, and no
# process that the pod has started meanwhile.
_BALLAST_SCORE = 500
# The ballast beyond what is free: less than the engine leaves free, or it would be the next.
_SPARE_MIB = 16
_HOST_RESERVE = 1024 * _MIB


class OomKill(RestartFault):
    """Lower the pod's limit to just above its use, and pass it with a ballast.

    The kernel kills the process with the worst score: the engine's are given the worst there is, as
    Ray gives its workers anyway. As soon as it has, the ballast goes and the limit is lifted, so
    that the restart has room. The limit alone would not do: cgroup version 1 refuses one below the
    use.
    """

    id = "F04"
    name = "oom_kill"
    summary = "The pod's memory limit is passed, and the kernel kills the engine's worker."
    layer = "container"
    symptoms = (
        "The pod's OOM kills count up and its processes fall; its tokens cease, requests in it "
        "fail; it is started again, and the others take its share meanwhile."
    )
    requirements = (
        "Root, a memory cgroup for each pod, and `lab.json`, which tells how the service is asked "
        "whether all of it is back."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"limit_and_ballast": "netns"}
    parameters = (
        Parameter("headroom_mib", 64, 16, 4096, "The lowered limit above the use, in MiB."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._memory = MemoryCgroup.of(target.pod)
        self._helpers = Helpers(self.duration_s + HELPER_MARGIN_S)
        self._kills = 0
        self._own_kills = 0
        self._limit = ""
        self._lifted = True
        self._log: KernelLog | None = None
        self._unknown = ""

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("oom_kills_rate", "processes", "engine_generation_tokens_rate")

    def intended_dose(self) -> dict[str, float]:
        return {"oom_kills": 1.0}

    def _find_victims(self) -> list[Process]:
        return engine_processes(self.target)

    def preflight(self) -> None:
        super().preflight()
        limit = self._memory.limit()
        wanted = self._memory.usage() + round(self.values["headroom_mib"]) * _MIB
        if limit is not None and wanted >= limit:
            raise RefusedError(
                f"the pod's limit is {limit // _MIB} MiB already, and {wanted // _MIB} MiB would "
                f"be no less: ask for a smaller headroom_mib"
            )
        if self._ballast_mib() * _MIB + _HOST_RESERVE > available_bytes():
            raise RefusedError(
                f"a ballast of {self._ballast_mib()} MiB and a reserve of {_HOST_RESERVE // _MIB} "
                f"MiB are not free on this machine: {available_bytes() // _MIB} MiB are"
            )

    def _ballast_mib(self) -> int:
        """Return how much passes the limit: the kernel gives page cache back before it kills."""
        return round(self.values["headroom_mib"]) + self._memory.files() // _MIB + _SPARE_MIB

    def capture(self) -> tuple[UndoAction, ...]:
        restart = super().capture()
        self._kills = self._memory.oom_kills()
        try:
            self._log = KernelLog()
        except OSError as error:
            self._unknown = f"whom the kernel killed is not known: {error}"
        file = self._memory.limit_file
        self._limit = file.read_text(encoding="ascii").strip()
        scores = [(each.pid, each.start, processes.oom_score(each)) for each in self._victims]
        return (
            self._helpers.undo(),
            SetMemoryLimit(str(file), self._limit),
            SetOomScores(tuple((pid, start, score or 0) for pid, start, score in scores)),
            *restart,
        )

    def _give(self) -> None:
        headroom, ballast = round(self.values["headroom_mib"]), self._ballast_mib()
        for victim in self._victims:
            processes.set_oom_score(victim, _WORST_SCORE)
        self._lifted = False
        limit = self._memory.usage() + headroom * _MIB
        self._memory.limit_file.write_text(f"{limit}\n", encoding="ascii")
        self._helpers.start(
            "hold",
            f"--mebibytes={ballast}",
            cgroups=[self._memory.folder],
            oom_score=_BALLAST_SCORE,
        )

    def verify_effect(self) -> bool:
        killed = self._memory.oom_kills() > self._kills
        if killed and not self._lifted:
            self._own_kills = len(self._helpers.ended())
            self._helpers.close()
            self._memory.limit_file.write_text(f"{self._limit}\n", encoding="ascii")
            self._lifted = True
        return killed and super().verify_effect()

    def measured_dose(self) -> dict[str, float]:
        kills = self._memory.oom_kills() - self._kills - self._own_kills
        return {"oom_kills": float(kills), **super().measured_dose()}

    def remarks(self) -> list[str]:
        if self._log is None:
            return [self._unknown, *super().remarks()]
        victims = {each.pid: title for each, title in self._titles.items()}
        killed = [f"{victims[pid][:60]} ({pid})" for pid in self._log.killed() if pid in victims]
        self._log.close()
        return [f"the kernel killed {', '.join(killed)}", *super().remarks()]

    def revert(self, undo: Undo) -> None:
        self._helpers.close()
        super().revert(undo)
