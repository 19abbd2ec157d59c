# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed in whatever state, the pod is put back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults import watchdog
from ansible_collections.rcalab.llm.plugins.module_utils.faults.state import StateDir

from .conftest import BUSY, COMPONENT, IDLE, Lab, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.root
@pytest.mark.parametrize("state", ["ARMED", "INJECTING", "ACTIVE"])
def test_the_watchdog_reverts_when_the_runner_is_killed(lab: Lab, state: str) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=60)
    lab.await_state(state)

    run.kill()
    run.communicate()

    lab.await_undone(15)
    assert lab.quota() == "-1"
    truth = lab.truth()
    assert (truth["outcome"], truth["reverted_by"]) == ("aborted", "watchdog")
    assert truth["messages"] == ["the runner was gone"]
    assert truth["times"]["revert_verified"] is not None


@pytest.mark.root
def test_a_kill_before_the_undo_leaves_nothing_to_undo(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=60)
    lab.await_state("PLANNED")

    run.kill()
    run.communicate()

    # It may have come as far as the watchdog by then; either way nothing stays.
    if list(lab.state.glob("windows/*/watchdog.json")):
        lab.await_undone(15)
    assert lab.quota() == "-1"


@pytest.mark.root
def test_a_runner_that_hangs_loses_its_lease_and_its_life(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=60)
    lab.await_state("ACTIVE")

    run.send_signal(signal.SIGSTOP)

    lab.await_undone(20)
    assert lab.quota() == "-1"
    assert "lease was not renewed" in lab.truth()["messages"][0]
    run.communicate(timeout=30)
    assert run.returncode == -signal.SIGKILL


@pytest.mark.root
def test_a_window_ends_when_its_watchdog_is_killed(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=60)
    lab.await_state("ACTIVE")

    os.kill(lab.watchdog(), signal.SIGKILL)
    run.communicate(timeout=30)

    assert run.returncode == 4
    assert "the watchdog is gone" in lab.truth()["messages"][0]
    assert lab.quota() == "-1"


@pytest.mark.root
def test_a_window_ends_when_the_module_is_killed(lab: Lab) -> None:
    lab.start(BUSY)
    module = subprocess.Popen([sys.executable, "-c", IDLE])
    run = lab.run("F01", COMPONENT, "--parent", str(module.pid), duration_s=60)
    lab.await_state("ACTIVE")

    module.kill()
    module.wait()
    run.communicate(timeout=30)

    assert run.returncode == 4
    assert lab.quota() == "-1"


@pytest.mark.root
def test_the_pod_is_put_back_even_if_the_state_directory_is_removed(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=60)
    lab.await_state("ACTIVE")

    run.send_signal(signal.SIGSTOP)
    shutil.rmtree(lab.state)

    wait_for(lambda: lab.quota() == "-1", "the revert", 20)
    run.communicate(timeout=30)


@pytest.mark.root
def test_a_left_over_undo_is_refused_until_it_is_reverted(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=60)
    lab.await_state("ACTIVE")
    os.kill(lab.watchdog(), signal.SIGKILL)
    run.kill()
    run.communicate()
    assert lab.quota() != "-1"

    refused = lab.run(duration_s=1)
    err = refused.communicate(timeout=30)[1]
    assert refused.returncode == 2
    assert "revert_faults" in err

    assert lab.revert().returncode == 0
    assert lab.quota() == "-1"
    again = lab.run("F00", duration_s=1)
    again.communicate(timeout=30)
    assert again.returncode == 0


def test_the_watchdog_acts_when_the_time_to_live_is_over(plain_lab: Lab) -> None:
    pod = plain_lab.start(IDLE)
    run = plain_lab.run(duration_s=60, cpu_limit_cores=0.01)
    plain_lab.await_state("ARMED")
    state = StateDir(plain_lab.state)
    (window,) = state.pending()
    pod.send_signal(signal.SIGSTOP)

    patience = watchdog.Patience(ttl_s=0.3, lease_s=5, retry_s=5)
    watchdog.arm(plain_lab.agent, state, window, patience, within_s=10)

    plain_lab.await_undone(15)
    run.communicate(timeout=30)
    assert run.returncode == -signal.SIGKILL
    assert plain_lab.truth()["messages"] == ["the time to live was over"]
    assert state_of(pod.pid) != "T"


def test_a_watchdog_holds_less_than_16_mb_while_it_waits(plain_lab: Lab) -> None:
    plain_lab.start(IDLE)
    run = plain_lab.run("F01", duration_s=30, cpu_limit_cores=0.5)
    plain_lab.await_state("INJECTING")

    status = Path(f"/proc/{plain_lab.watchdog()}/status").read_text()

    run.terminate()
    run.communicate(timeout=30)
    (resident_kib,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    assert int(resident_kib) * 1024 < 16e6


def test_the_pod_is_put_back_even_if_the_agent_is_replaced_meanwhile(
    plain_lab: Lab, tmp_path: Path
) -> None:
    plain_lab.agent = Path(shutil.copy(plain_lab.agent, tmp_path / "agent.pyz"))
    pod = plain_lab.start(IDLE)
    run = plain_lab.run(duration_s=60, cpu_limit_cores=0.01)
    plain_lab.await_state("INJECTING")
    plain_lab.agent.unlink()
    plain_lab.agent.write_text("of another version, and broken")

    run.kill()
    pod.send_signal(signal.SIGSTOP)
    run.communicate()

    plain_lab.await_undone(15)
    assert plain_lab.truth()["reverted_by"] == "watchdog"
    assert state_of(pod.pid) != "T"


def test_the_state_directory_may_be_named_from_where_one_is(
    plain_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_lab.start(IDLE)
    monkeypatch.chdir(plain_lab.state.parent)
    plain_lab.state = Path("state")

    run = plain_lab.run("F00", duration_s=1, cpu_limit_cores=0.5)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 0, err


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
