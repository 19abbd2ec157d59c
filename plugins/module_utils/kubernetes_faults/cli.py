# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chaos agent of a cluster: the same command line, for the other platform."""

from __future__ import annotations

from collections.abc import Sequence

from ..faults import cli, undo
from . import catalogue
from .cluster import find_target
from .undo_actions import ACTIONS

PLATFORM = cli.Platform(catalogue, "--cluster", "the lab's cluster.json", find_target)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    undo.know(*ACTIONS)
    return cli.main(arguments, PLATFORM)
