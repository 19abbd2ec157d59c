# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chaos agent of a cluster: the same command line, for the other platform."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..faults import cli, undo
from . import catalogue
from .api import RAY_SERVICE
from .cluster import SERVICE, find_target, load_cluster
from .undo_actions import ACTIONS, unwell


def _components(path: Path) -> dict[str, str | None]:
    cluster = load_cluster(path)
    found: dict[str, str | None] = {}
    for pod in cluster.pods():
        if pod.has_ended:
            continue
        ready = None if pod.is_ready else f"pod {pod.name} is not ready"
        found[pod.component] = "it is more than one pod" if pod.component in found else ready
        if pod.node:
            found[f"node/{pod.node}"] = None
    if cluster.service is not None:
        service = cluster.api.get(RAY_SERVICE, cluster.namespace, cluster.service)
        if service is not None:
            found[SERVICE] = ", ".join(unwell(service)) or None
    return found


PLATFORM = cli.Platform(catalogue, "--cluster", "the lab's cluster.json", find_target, _components)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    undo.know(*ACTIONS)
    return cli.main(arguments, PLATFORM)
