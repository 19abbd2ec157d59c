# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F10: a container can resolve no names."""

from __future__ import annotations

from ...faults.catalogue.f10_dns_failure import DnsFailure as OnHost
from ..api import Object
from ..chaos_mesh import ChaosFault
from ..fault import by_default


class DnsFailure(ChaosFault, like=OnHost):
    """Have every look-up of a container answered with an error."""

    chaos_kind = "DNSChaos"
    on_container = True
    seen = False
    summary = "Every look-up in the pod fails."
    symptoms = (
        "New connections by name fail in the pod; those that are open go on, so a service that is "
        "up shows little."
    )
    requirements = "Chaos Mesh with its DNS server (`chaos_mesh_dns_server`)."
    mechanisms = by_default("dns_chaos")
    parameters = OnHost.parameters

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ()  # nothing that the lab measures shows it

    def intended_dose(self) -> dict[str, float]:
        return {"refused_ratio": 1.0}

    def spec(self) -> Object:
        return {"action": "error"}
