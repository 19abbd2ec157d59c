# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: call the chaos agent that the role chaos_agent has installed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AgentError(Exception):
    """The agent could not be run."""


@dataclass(frozen=True)
class AgentResult:
    """How the agent ended: its exit code, what it printed, and what it complained of."""

    code: int
    output: str
    complaint: str


def call_agent(path: str, arguments: Sequence[str], text: str = "") -> AgentResult:
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
    with subprocess.Popen(
        [sys.executable, path, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as agent:
        before = {
            number: signal.signal(number, lambda received, _frame: agent.send_signal(received))
            for number in _FORWARDED
        }
        try:
            output, complaint = agent.communicate(text)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return AgentResult(agent.returncode, output, complaint.strip())
