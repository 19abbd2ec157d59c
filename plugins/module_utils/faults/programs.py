# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run other programs where no AnsibleModule can: the agent is a program of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import IO


def run(
    command: Sequence[str],
    timeout_s: float,
    *,
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with ``text`` as its input.

    Raises
    ------
    OSError
        If it can't be run; a TimeoutError where it does not end in time.
    """
    try:
        return subprocess.run(  # pylint: disable=ansible-bad-function
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{command[0]} did not end in {timeout_s:g} s") from error


def start(
    command: Sequence[str],
    output: int | IO[bytes],
    *,
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in the root folder; all that it says goes to ``output``.

    Raises
    ------
    OSError
        If it can't be started.
    """
    return subprocess.Popen(  # pylint: disable=ansible-bad-function
        command,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd="/",
    )
