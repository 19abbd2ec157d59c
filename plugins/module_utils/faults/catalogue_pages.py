# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as text, JSON and Markdown, all from the faults' own attributes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from .contract import ANY_ISOLATION, Fault


def as_json(faults: Iterable[type[Fault]]) -> str:
    """Return the catalogue as JSON, one object a fault."""
    entries = [
        {
            "id": fault.id,
            "name": fault.name,
            "summary": fault.summary,
            "layer": fault.layer,
            "platform": fault.platform,
            "sham": fault.sham,
            "kinds": list(fault.kinds),
            "mechanisms": dict(fault.mechanisms),
            "parameters": [asdict(parameter) for parameter in fault.parameters],
            "restarts": fault.restarts,
            "needs_confirmation": fault.needs_confirmation,
            "arm_deadline_s": fault.arm_deadline_s,
            "effect_deadline_s": fault.effect_deadline_s,
            "revert_deadline_s": fault.revert_deadline_s,
            "symptoms": fault.symptoms,
            "requirements": fault.requirements,
        }
        for fault in faults
    ]
    return json.dumps(entries, indent=2) + "\n"


def as_text(faults: Iterable[type[Fault]]) -> str:
    """Return the catalogue as one line a fault."""
    return "".join(f"{fault.id}  {fault.name:20}  {fault.summary}\n" for fault in faults)


def as_markdown(faults: Iterable[type[Fault]]) -> str:
    """Return the catalogue as Markdown, one section a fault."""
    return "\n".join(_section(fault) for fault in faults)


def _default(isolation: str | None) -> str:
    if isolation is None:
        return ""
    return (
        " (default)" if isolation == ANY_ISOLATION else f" (default with isolation `{isolation}`)"
    )


def _section(fault: type[Fault]) -> str:
    mechanisms = ", ".join(
        f"`{name}`{_default(isolation)}" for name, isolation in fault.mechanisms.items()
    )
    kinds = ", ".join(f"`{kind}`" for kind in fault.kinds)
    lines = [
        f"### {fault.id} `{fault.name}`",
        "",
        fault.summary,
        "",
        f"- Layer: {fault.layer}. Done to a component of kind {kinds}.",
        f"- Mechanisms: {mechanisms}.",
        f"- Expected: {fault.symptoms}",
        f"- Needs: {fault.requirements}",
    ]
    if not fault.sham:
        lines.append(f"- Its effect must be seen within {fault.effect_deadline_s:g} s.")
    if fault.restarts:
        lines.append(
            f"- It ends something that is started again: the window ends when that is back, at the "
            f"latest {fault.revert_deadline_s:g} s after `duration_s`."
        )
    if fault.needs_confirmation:
        lines.append("- It acts on more than one pod: name the target once more as `confirm`.")
    lines += ["", "| parameter | default | from | to | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{p.name}` | {p.default:g} | {p.minimum:g} | {p.maximum:g} | {p.description} |"
        for p in fault.parameters
    ]
    return "\n".join(lines) + "\n"
