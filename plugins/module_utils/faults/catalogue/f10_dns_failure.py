# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F10: a pod can resolve no names."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import ClassVar

from ..contract import DURATION
from ..network_fault import NetworkFault

_PORT = 53
# A query for the root's name servers (RFC 1035): a resolver that hears it answers it.
_QUERY = bytes.fromhex("5243010000010000000000000000020001")


class DnsFailure(NetworkFault):
    """Reject, or drop, what a pod sends to a name server."""

    id = "F10"
    name = "dns_failure"
    summary = "The pod reaches no name server."
    symptoms = (
        "Look-ups in the pod fail at once, or after their time-out. On this platform the service "
        "shows nothing: its parts know each other by address."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {
        "iptables_reject": "netns",
        "iptables_drop": None,
    }
    parameters = (DURATION,)

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ()  # nothing that the lab measures shows it

    def intended_dose(self) -> dict[str, float]:
        return {"refused_ratio": 1.0}

    def _give(self) -> None:
        verdict = "REJECT" if self.mechanism == "iptables_reject" else "DROP"
        ports = [f"-p {protocol} --dport {_PORT} -j {verdict}" for protocol in ("udp", "tcp")]
        self._netns.add_rules(["OUTPUT"], ports)

    def _ask(self) -> None:
        """Send a query as a process of the pod would; nobody there has to hear it."""
        handle = self._netns.open_socket(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with handle, contextlib.suppress(PermissionError, ConnectionRefusedError):
            handle.sendto(_QUERY, (self.target.pod.address or "127.0.0.1", _PORT))

    def verify_effect(self) -> bool:
        before = sum(self._netns.packets())
        self._ask()
        return sum(self._netns.packets()) > before

    def measured_dose(self) -> dict[str, float]:
        before = sum(self._netns.packets())
        self._ask()
        after = sum(self._netns.packets())
        return {"refused_ratio": float(after > before), "packets": float(after)}
