# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog while it waits: when it has the fault undone, and what it does then."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults import processes, sentinel
from ansible_collections.rcalab.llm.plugins.module_utils.faults.state import Window

from .conftest import IDLE, is_running, wait_for

# Writes down why it was called; the first time, it is killed.
_AGENT = """
import os, signal, sys
with open(sys.argv[1], "a+") as said:
    said.write(sys.argv[2] + "\\n")
    said.flush()
    said.seek(0)
    if len(said.readlines()) < 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


class Watched:
    """A window whose runner is a process that sleeps."""

    def __init__(self, folder: Path) -> None:
        self.window = Window(folder / "window")
        self.window.path.mkdir()
        self.said = folder / "said"
        self.runner = subprocess.Popen([sys.executable, "-S", "-c", IDLE])

    def arm(self, ttl_s: float = 30, lease_s: float = 30) -> int:
        """Start the watchdog, and return its number once it watches."""
        runner = os.pidfd_open(self.runner.pid)
        window = self.window
        files = map(str, (window.watchdog_file, window.undone_file, window.lease_file))
        patience = map(str, (ttl_s, lease_s, 10))
        subprocess.run(
            [
                *(sys.executable, "-I", "-S", "-c", inspect.getsource(sentinel)),
                *(str(runner), *files, *patience),
                *(sys.executable, "-I", "-S", "-c", _AGENT, str(self.said)),
            ],
            pass_fds=(runner,),
            check=True,
        )
        os.close(runner)
        wait_for(window.watchdog, "the watchdog", 10)
        process = window.watchdog()
        assert process is not None
        assert processes.is_alive(process)
        return process.pid

    def reasons(self) -> list[str]:
        """Return the reasons for which the agent was called, once there are two."""
        wait_for(lambda: self._lines()[1:], "the agent's second call", 15)
        return self._lines()

    def _lines(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    try:
        yield made
    finally:
        made.runner.kill()
        made.runner.wait()


def test_a_runner_that_is_gone_has_its_fault_undone_by_an_agent_started_until_it_succeeds(
    watched: Watched,
) -> None:
    watchdog = watched.arm()

    watched.runner.kill()

    assert watched.reasons() == ["the runner was gone"] * 2
    wait_for(lambda: not is_running(watchdog), "the watchdog's end", 5)


def test_a_lease_that_is_renewed_keeps_it_quiet_and_one_that_is_not_does_not(
    watched: Watched,
) -> None:
    watched.arm(lease_s=1)
    for beat in range(8):
        watched.window.lease_file.write_text(str(beat))
        time.sleep(0.25)
    assert not watched.said.exists()

    assert watched.reasons() == ["the lease was not renewed for 1 s"] * 2


def test_a_time_to_live_that_is_over_counts_whatever_the_runner_does(watched: Watched) -> None:
    watched.arm(ttl_s=0.5)

    assert watched.reasons() == ["the time to live was over"] * 2


def test_an_undo_that_is_done_ends_it_without_a_word(watched: Watched) -> None:
    watchdog = watched.arm()

    watched.window.undone_file.touch()
    watched.runner.kill()

    wait_for(lambda: not is_running(watchdog), "the watchdog's end", 5)
    assert not watched.said.exists()
