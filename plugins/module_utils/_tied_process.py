# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: a process that learns when its module is gone.

AnsibleModule.run_command can't do it: it closes the child's standard input at once, and a child of
a module that is killed runs on.
"""

from __future__ import annotations

import subprocess


def run_tied(command: list[str]) -> tuple[int, str]:
    """Run a command to its end and return its exit code and standard error.

    Its standard input is a pipe in which nothing ever comes and which closes when this process
    ends, killed or not: a command that stops at the end of its input doesn't outlive the module.
    """
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        stderr = process.stderr.read() if process.stderr else ""
    return process.returncode, stderr
