# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F31: a part of the telemetry falls silent. Nothing is wrong with what it measures."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import ClassVar

from .. import processes, web
from ..contract import ANY_ISOLATION, DURATION, Fault, Target
from ..errors import RefusedError
from ..network import HOST, Netns, need_programs
from ..processes import Process
from ..undo import ContinueProcesses, RemoveRules
from ..undo_action import UndoAction

# As long as Prometheus waits for a scrape.
_TIMEOUT_S = 1.0


class TelemetryLoss(Fault):
    """Stop an exporter or Prometheus, or reset the connections to it."""

    id = "F31"
    name = "telemetry_loss"
    summary = "An exporter, or Prometheus itself, no longer answers."
    layer = "observability"
    symptoms = (
        "Its own scrapes fail (with Prometheus, all of them are missing), and what it serves has a "
        "gap; the service and its clients notice nothing."
    )
    requirements = (
        "`sigstop`: the rights to send signals to it. `iptables_reject`: root, and Debian's "
        "iptables. Both: `lab.json`, which names the lab's telemetry."
    )
    kinds = ("telemetry",)
    mechanisms: ClassVar[Mapping[str, str | None]] = {
        "sigstop": ANY_ISOLATION,
        "iptables_reject": None,
    }
    parameters = (DURATION,)

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._part = target.part
        self._host = Netns(HOST)
        self._found: list[Process] = []
        self._begin = 0.0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("up", "scrape_duration_s")

    def intended_dose(self) -> dict[str, float]:
        return {"silent_ratio": 1.0}

    def _find(self) -> list[Process]:
        program, supervisor = self._part.program, self.target.lab.need_supervisor()
        if program is None:
            raise RefusedError(f"{self.target.component} is no program")
        try:
            process = processes.identify(supervisor.program(program).pid)
        except OSError as error:
            raise RefusedError(f"the supervisor does not know {program}: {error}") from error
        return [] if process is None else [process]

    def preflight(self) -> None:
        found = self._find()
        if not found:
            raise RefusedError(f"{self.target.component} does not run: nothing could fall silent")
        if not self._answers():
            raise RefusedError(f"{self._url} does not answer now: nothing could fall silent")
        if self.mechanism == "iptables_reject":
            need_programs("iptables-restore", "iptables-save")
            if self._host.has_chain():
                raise RefusedError(
                    "this machine's packet filter has an earlier fault's rules: revert it with the "
                    "playbook revert_faults"
                )

    @property
    def _url(self) -> str:
        return f"http://{self._part.address}:{self._part.port}/metrics"

    def _answers(self) -> bool:
        try:
            web.request(self._url, timeout_s=_TIMEOUT_S)
        except OSError:
            return False
        return True

    def capture(self) -> tuple[UndoAction, ...]:
        self._found = self._find()
        if self.mechanism == "iptables_reject":
            return (RemoveRules(HOST),)
        seen = tuple((process.pid, process.start) for process in self._found)
        return (ContinueProcesses(seen),)

    def inject(self) -> None:
        self._begin = time.monotonic()
        if self.mechanism == "sigstop":
            for process in self._found:
                processes.send(process, signal.SIGSTOP)
            return
        to_it = f"-p tcp -d {self._part.address} --dport {self._part.port}"
        self._host.add_rules(["INPUT"], [f"{to_it} -j REJECT --reject-with tcp-reset"])

    def verify_effect(self) -> bool:
        return not self._answers()

    def disturbance(self) -> str | None:
        if gone := [each.pid for each in self._found if not processes.is_alive(each)]:
            return f"processes {gone} of {self.target.component} ended under the fault"
        if time.monotonic() - self._begin < 1:
            return None  # a signal is on its way for a moment
        if self.mechanism == "sigstop":
            held = all(processes.is_stopped(each) for each in self._found)
            return None if held else f"something else has let {self.target.component} go on"
        return None if self._host.has_chain() else "something else has taken the rules away"

    def measured_dose(self) -> dict[str, float]:
        return {"silent_ratio": 0.0 if self._answers() else 1.0}
