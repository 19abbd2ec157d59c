# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faults of a pod's network have in common: its namespace, its rules, their undo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from .contract import Fault, Target
from .errors import RefusedError
from .network import Netns, need_programs
from .undo import RemoveQdisc, RemoveRules
from .undo_action import UndoAction

_NEEDS_NETNS = "Root, and a network namespace for each pod (`lab_isolation: netns`)."


class NetworkFault(Fault):
    """A fault on the way between a pod and everything else; loopback within the pod stays."""

    layer = "network"
    kinds = ("replica", "head", "gateway")
    requirements = _NEEDS_NETNS
    programs: ClassVar[tuple[str, ...]] = ("iptables-restore", "iptables-save", "ip")

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        if target.pod.netns is None:
            raise RefusedError(f"{self.id} needs a pod with a network of its own")
        self._netns: Netns = target.pod.netns
        self._begin = 0.0

    def preflight(self) -> None:
        need_programs(*self.programs)
        if not self._netns.exists():
            raise RefusedError(f"there is no network namespace {self._netns.name}: is the lab up?")
        self._check_clean()

    def _check_clean(self) -> None:
        if self._netns.has_chain():
            raise RefusedError(
                f"the packet filter of {self._netns.name} has an earlier fault's rules: revert it "
                f"with the playbook revert_faults"
            )

    def capture(self) -> tuple[UndoAction, ...]:
        return (RemoveRules(netns=self._netns.name),)

    def inject(self) -> None:
        self._begin = time.monotonic()
        self._give()

    def _give(self) -> None:
        raise NotImplementedError

    def disturbance(self) -> str | None:
        if not self.target.pod.processes():
            return f"nothing runs in pod {self.target.pod.name} any more"
        if not self._netns.has_chain():
            return "something else has taken the fault's rules away"
        return None


class QdiscFault(NetworkFault):
    """A fault by a queueing discipline on the pod's own end of its link: what the pod sends."""

    programs = ("tc", "ip")

    def _check_clean(self) -> None:
        found = self._netns.qdisc()["kind"]
        if self._netns.has_qdisc():
            raise RefusedError(
                f"the device of {self._netns.name} has a queueing discipline already ({found}): "
                f"it would be lost"
            )

    def capture(self) -> tuple[UndoAction, ...]:
        return (RemoveQdisc(netns=self._netns.name),)

    def disturbance(self) -> str | None:
        if not self.target.pod.processes():
            return f"nothing runs in pod {self.target.pod.name} any more"
        if not self._netns.has_qdisc():
            return "something else has taken the fault's queueing discipline away"
        return None
