# SPDX-License-Identifier: Apache-2.0
"""The simulated faults as tables: for ``rca-engine simulate --list`` and for the documentation."""

from __future__ import annotations

from rca_engine.simulator.faults import faults
from rca_engine.simulator.spec import ClusterSpec


def rows() -> list[tuple[str, str, str, str, str]]:
    """Return (id, name, default target, parameters, symptoms) of every fault, by id."""
    return [
        (
            each.id,
            each.name,
            each.default_target(each.cluster(ClusterSpec())),
            ", ".join(f"{name}={value:g}" for name, value in each.defaults.items()) or "none",
            each.symptoms,
        )
        for each in faults().values()
    ]


def as_markdown() -> str:
    """Return the table of ``docs/simulator.md``."""
    lines = ["| id | fault | hits | symptoms, most diagnostic first |", "|---|---|---|---|"]
    for number, name, target, parameters, symptoms in rows():
        dose = "" if parameters == "none" else f" ({parameters})"
        lines.append(f"| {number} | {name}{dose} | `{target}` | {symptoms} |")
    return "\n".join(lines) + "\n"
