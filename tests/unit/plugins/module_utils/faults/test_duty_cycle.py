# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU starvation without any privilege: SIGSTOP and SIGCONT to one's own processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults.pods import marked_processes

from .conftest import BUSY, IDLE, LAB, Lab, wait_for

pytestmark = pytest.mark.slow


def states(lab: Lab) -> set[str]:
    pids = [process.pid for process in lab.processes]
    return {Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] for pid in pids}


def test_a_marked_pod_is_held_to_its_share(plain_lab: Lab) -> None:
    plain_lab.start(BUSY)

    run = plain_lab.run(duration_s=3, cpu_limit_cores=0.1)
    out, err = run.communicate(timeout=30)

    assert run.returncode == 0, err
    truth = json.loads(out)
    assert truth["mechanism"] == "duty_cycle"
    assert truth["root_causes"][0]["metrics"] == ["cpu_usage_cores"]
    measured = truth["dose"]["measured"]
    assert 0 < measured["cpu_cores"] < 0.16
    assert measured["throttled_periods_ratio"] > 0.3
    assert "T" not in states(plain_lab)


def test_a_killed_runner_leaves_no_process_stopped(plain_lab: Lab) -> None:
    plain_lab.start(BUSY)
    run = plain_lab.run(duration_s=60, cpu_limit_cores=0.05)
    plain_lab.await_state("ACTIVE")
    wait_for(lambda: states(plain_lab) == {"T"}, "a stop", 5, step_s=0.001)

    run.kill()
    run.communicate()

    plain_lab.await_undone(15)
    assert "T" not in states(plain_lab)


def test_a_quota_needs_a_cgroup(plain_lab: Lab) -> None:
    plain_lab.start(BUSY)

    run = plain_lab.run(mechanism="cgroup_quota")
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 2
    assert "use the mechanism duty_cycle" in err


def test_a_child_that_hides_its_marks_is_of_the_pod_and_another_labs_twin_is_not(
    plain_lab: Lab,
) -> None:
    # As a program that rewrites its title does: its environment can't be read from outside.
    parent = plain_lab.start(
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'], env={})\n"
        "child.wait()"
    )
    twin = subprocess.Popen(
        [sys.executable, "-c", IDLE],
        env=os.environ | {"RCALAB_LAB": "rcalab-other", "RCALAB_POD": plain_lab.pod},
    )
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    wait_for(children.read_text, "the child", 10)
    child = int(children.read_text())

    found = {process.pid for process in marked_processes(LAB, plain_lab.pod)}

    assert {parent.pid, child} <= found
    assert twin.pid not in found
    for pid in (child, twin.pid):
        os.kill(pid, signal.SIGKILL)
    twin.wait()
