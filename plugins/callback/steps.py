# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: One line a step, with the time since the start and how long it took
version_added: 0.1.0
description:
  - Prints a line for each task that changed something, waited, or took longer than a second,
    and the message of each failure.
  - A task that takes its time says so before it begins, one that waits says so while it waits.
author: The rcalab.llm authors (@rcalab)
"""

import time
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

QUIET_S = 1.0
WAITING_EVERY_S = 15.0
# What takes its time says so before it begins.
LONG = (
    "wait_for",
    "load_benchmark",
    "fault_window",
    "async_status",
    "telemetry_harvest",
    "rca_diagnose",
    "rca_evaluate",
    "apt",
)


def clock(seconds: float) -> str:
    """Write seconds as mm:ss."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "rcalab.llm.steps"

    def __init__(self) -> None:
        super().__init__()
        self._start = self._task_start = self._said_waiting = time.monotonic()

    def _say(self, text: str, color: str | None = None) -> None:
        self._display.display(f"{clock(time.monotonic() - self._start)}  {text}", color=color)

    @staticmethod
    def _name(task: Any) -> str:
        return task.get_name().partition(" : ")[2] or task.get_name()

    def _line(self, result: Any, word: str = "", color: str | None = None) -> None:
        took = time.monotonic() - self._task_start
        item = result._result.get("_ansible_item_label")
        suffix = f" [{item}]" if isinstance(item, str) else ""
        self._say(
            f"{self._name(result._task)}{suffix}{f': {word}' if word else ''}  ({took:.0f} s)",
            color,
        )

    # plays and tasks

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._say(f"== {play.get_name()}", constants.COLOR_HIGHLIGHT)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's name
        self._task_start = self._said_waiting = time.monotonic()
        if task.action.rpartition(".")[2] in LONG and not task.loop:
            self._say(f"{self._name(task)} ...")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    # results

    def v2_runner_on_ok(self, result: Any) -> None:
        if result._task.action in constants._ACTION_DEBUG and "msg" in result._result:
            message = result._result["msg"]
            lines = message if isinstance(message, list) else str(message).splitlines()
            self._display.display("\n" + "\n".join(f"  {line}" for line in lines) + "\n")
            return
        self._warn(result)
        if result._result.get("changed") and not result._task.loop:
            self._line(result, "changed", constants.COLOR_CHANGED)
        elif time.monotonic() - self._task_start >= QUIET_S and not result._task.loop:
            self._line(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if result._result.get("changed"):
            self._line(result, "changed", constants.COLOR_CHANGED)

    def v2_runner_retry(self, result: Any) -> None:
        now = time.monotonic()
        if now - self._said_waiting >= WAITING_EVERY_S:
            self._said_waiting = now
            self._line(result, "waiting")

    def v2_runner_on_async_poll(self, result: Any) -> None:
        self.v2_runner_retry(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 - Ansible's name
        if "results" in result._result and any(r.get("failed") for r in result._result["results"]):
            return
        self._fail(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._fail(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._fail(result)

    def _fail(self, result: Any) -> None:
        self._warn(result)
        if self._display.verbosity > 2:
            self._handle_exception(result._result)
        answer = result._result
        self._line(result, "FAILED", constants.COLOR_ERROR)
        self._display.display(
            f"\n  {answer.get('msg', 'no message')}\n", color=constants.COLOR_ERROR
        )
        for part in ("stderr", "module_stderr"):
            if answer.get(part):
                self._display.display(
                    "  " + "\n  ".join(str(answer[part]).splitlines()[-15:]),
                    color=constants.COLOR_ERROR,
                )

    def _warn(self, result: Any) -> None:
        self._handle_warnings(result._result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            shown = " ".join(
                f"{name}={counts[name]}" for name in ("ok", "changed", "failures", "unreachable")
            )
            bad = counts["failures"] or counts["unreachable"]
            self._say(f"{host}: {shown}", constants.COLOR_ERROR if bad else constants.COLOR_OK)
