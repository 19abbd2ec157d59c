# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: call the chaos agent that the role chaos_agent has installed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from ansible.module_utils.basic import AnsibleModule

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AgentError(Exception):
    """The agent could not be run."""


@dataclass(frozen=True)
class AgentResult:
    """How the agent ended: its exit code, what it printed, and what it complained of."""

    code: int
    output: str
    complaint: str


def call_agent(
    module: AnsibleModule, path: str, arguments: Sequence[str], text: str = ""
) -> AgentResult:
    """Run the agent to its end, with ``text`` as its input.

    A signal to this process is handed on, and the agent's end still waited for: it has to put the
    target back first.

    Raises
    ------
    AgentError
        If it is not installed.
    """
    if not Path(path).is_file():
        raise AgentError(f"there is no chaos agent at {path}: run the role rcalab.llm.chaos_agent")
    before = {number: signal.getsignal(number) for number in _FORWARDED}

    def hand_on(agent: Popen[bytes]) -> None:
        for number in _FORWARDED:
            signal.signal(number, lambda received, _frame: agent.send_signal(received))

    try:
        code, output, complaint = module.run_command(
            [sys.executable, path, *arguments],
            data=text,
            binary_data=True,
            before_communicate_callback=hand_on,
            expand_user_and_vars=False,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return AgentResult(code, output, complaint.strip())
