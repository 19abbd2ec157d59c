# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands: run by the module, judged here."""

from __future__ import annotations

from collections.abc import Callable

from .errors import ArtifactError

# AnsibleModule.run_command: how a command ended, what it printed, what it complained of.
RunCommand = Callable[[list[str]], tuple[int, str, str]]


def ask(run: RunCommand, command: list[str]) -> str:
    """Run a command and return what it printed.

    Raises
    ------
    ArtifactError
        If it can't be run, or fails; the text has what it said.
    """
    try:
        code, output, complaint = run(command)
    except OSError as error:
        raise ArtifactError(f"{' '.join(command)}: {command[0]} can't be run: {error}") from error
    if code:
        raise ArtifactError(f"{' '.join(command)}: {complaint.strip()}")
    return output
