# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole fault windows on a real cgroup, with the agent as it is installed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from .conftest import BUSY, COMPONENT, IDLE, Lab, is_running, wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]
STATES = ["PLANNED", "PREFLIGHT", "ARMED", "INJECTING", "ACTIVE", "REVERTING", "REVERTED"]


def test_cpu_starvation_is_seen_measured_and_undone(lab: Lab) -> None:
    lab.start(BUSY)

    run = lab.run(duration_s=2, cpu_limit_cores=0.1)
    out, err = run.communicate(timeout=30)

    assert run.returncode == 0, err
    truth = json.loads(out)
    assert truth == lab.truth()
    assert truth["outcome"] == "effective"
    assert truth["reverted_by"] == "controller"
    assert truth["mechanism"] == "cgroup_quota"
    assert truth["root_causes"][0]["component"] == COMPONENT
    came = [truth["times"][name] for name in list(truth["times"])[:-1]]
    assert came == sorted(came)
    measured = truth["dose"]["measured"]
    assert measured["cpu_cores_before"] > 2 * measured["cpu_cores"]
    assert measured["cpu_cores"] == pytest.approx(0.1, abs=0.05)
    assert measured["throttled_periods_ratio"] > 0.5
    assert lab.quota() == "-1"
    assert lab.states() == STATES


def test_the_watchdog_ends_after_a_clean_window(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run("F00", duration_s=1)
    lab.await_state("ARMED")
    pid = lab.watchdog()
    assert pid is not None
    assert is_running(pid)

    run.communicate(timeout=30)

    wait_for(lambda: not is_running(pid), "the watchdog's end", 5)


def test_a_sham_goes_the_same_way_and_does_nothing(lab: Lab) -> None:
    lab.start(BUSY)

    run = lab.run("F00", duration_s=1.5, cpu_limit_cores=0.1)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 0, err
    truth = lab.truth()
    assert truth["sham"]
    assert truth["root_causes"] == []
    assert truth["times"]["effect_first_seen"] is None
    assert truth["dose"]["intended"] == {}
    assert truth["dose"]["measured"]["throttled_periods_ratio"] == 0
    assert lab.states() == STATES
    assert lab.quota() == "-1"


def test_an_idle_pod_makes_the_fault_not_effective(lab: Lab) -> None:
    lab.start(IDLE)

    run = lab.run(duration_s=1)
    run.communicate(timeout=30)

    assert run.returncode == 3
    truth = lab.truth()
    assert truth["outcome"] == "not_effective"
    assert truth["times"]["effect_first_seen"] is None
    assert "is there load" in truth["messages"][0]
    assert lab.quota() == "-1"


def test_the_undo_is_written_before_the_dose(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=1)
    lab.await_state("ARMED")

    (undo,) = lab.state.glob("windows/*/undo.json")
    assert json.loads(undo.read_text())["actions"][0]["quota_us"] is None
    assert lab.quota() == "-1"
    wait_for(lambda: lab.quota() != "-1", "the dose", 10)
    run.communicate(timeout=30)


def test_the_exact_previous_limit_comes_back(lab: Lab) -> None:
    lab.start(BUSY)
    cpu = Path(str(lab.cgroup["cpu"]))
    (cpu / "cpu.cfs_period_us").write_text("50000")
    (cpu / "cpu.cfs_quota_us").write_text("40001")

    run = lab.run(duration_s=1, cpu_limit_cores=0.1)
    run.communicate(timeout=30)

    assert lab.quota() == "40001"
    assert (cpu / "cpu.cfs_period_us").read_text().strip() == "50000"


def test_another_hand_on_the_quota_makes_the_window_contaminated(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=10)
    lab.await_state("ACTIVE")

    (Path(str(lab.cgroup["cpu"])) / "cpu.cfs_quota_us").write_text("70000")
    run.communicate(timeout=30)

    assert run.returncode == 5
    assert lab.truth()["outcome"] == "contaminated"
    assert lab.quota() == "-1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reverts_and_aborts(lab: Lab, number: signal.Signals) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=30)
    lab.await_state("INJECTING")

    run.send_signal(number)
    run.communicate(timeout=30)

    assert run.returncode == 4
    truth = lab.truth()
    assert (truth["outcome"], truth["reverted_by"]) == ("aborted", "abort")
    assert number.name in truth["messages"][0]
    assert lab.quota() == "-1"


def test_a_second_fault_is_refused_while_one_is_active(lab: Lab) -> None:
    lab.start(BUSY)
    first = lab.run(duration_s=30)
    lab.await_state("INJECTING")

    second = lab.run(duration_s=1)
    err = second.communicate(timeout=30)[1]

    assert second.returncode == 2
    assert "another fault is active" in err
    assert lab.quota() != "-1"
    first.terminate()
    first.communicate(timeout=30)


def test_an_operator_ends_an_active_fault(lab: Lab) -> None:
    lab.start(BUSY)
    run = lab.run(duration_s=30)
    lab.await_state("ACTIVE")

    done = lab.revert()

    assert len(json.loads(done.stdout)["reverted"]) == 1
    assert lab.quota() == "-1"
    assert lab.truth()["reverted_by"] == "operator"
    run.communicate(timeout=30)
    assert json.loads(lab.revert().stdout) == {"reverted": []}


@pytest.mark.parametrize(
    "path",
    ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu/../../../../etc/replica-0", "/etc/replica-0"],
)
def test_a_forged_target_is_refused(lab: Lab, path: str) -> None:
    lab.start(BUSY)
    pods = json.loads(lab.pods.read_text())
    pods["pods"][0]["cgroup"]["cpu"] = path
    lab.pods.write_text(json.dumps(pods))

    run = lab.run(duration_s=1)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 2
    assert "is no cgroup of pod replica-0" in err
    assert not lab.state.exists()


def test_check_goes_through_the_preflight_only(lab: Lab) -> None:
    lab.start(BUSY)

    run = lab.run("F01", COMPONENT, "--check", duration_s=1)
    out, err = run.communicate(timeout=30)

    assert (run.returncode, out, err) == (0, "", "")
    assert not lab.state.exists()
    assert not lab.truth_path.exists()
