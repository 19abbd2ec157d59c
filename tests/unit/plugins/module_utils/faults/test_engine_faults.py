# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that stop an engine's processes."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import BUSY, IDLE, Lab

pytestmark = pytest.mark.slow

ENGINE = "VLLM::EngineCore"
FAULTS = [("F12", {}), ("F13", {"stopped_ratio": 0.6})]


def state_of(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(("fault", "parameters"), FAULTS)
def test_the_engine_stops_and_goes_on(
    plain_lab: Lab, fault: str, parameters: dict[str, object]
) -> None:
    engine, beside = plain_lab.start(BUSY, ENGINE), plain_lab.start(IDLE)

    run = plain_lab.run(fault, duration_s=6, **parameters)
    plain_lab.await_state("ACTIVE")
    assert state_of(beside) != "T"
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 0, err
    assert state_of(engine) != "T"
    measured = plain_lab.truth()["dose"]["measured"]
    assert measured["processes"] == 1
    assert measured["stopped_ratio"] == pytest.approx(parameters.get("stopped_ratio", 1), abs=0.25)


@pytest.mark.parametrize(("fault", "parameters"), FAULTS)
def test_a_killed_agent_leaves_no_engine_stopped(
    plain_lab: Lab, fault: str, parameters: dict[str, object]
) -> None:
    engine = plain_lab.start(BUSY, ENGINE)
    run = plain_lab.run(fault, duration_s=60, **parameters)
    plain_lab.await_state("ACTIVE")

    run.kill()
    run.communicate()

    plain_lab.await_undone(15)
    assert state_of(engine) != "T"


def test_an_engine_that_somebody_lets_go_on_makes_the_window_contaminated(plain_lab: Lab) -> None:
    engine = plain_lab.start(BUSY, ENGINE)
    run = plain_lab.run("F12", duration_s=20)
    plain_lab.await_state("ACTIVE")

    engine.send_signal(signal.SIGCONT)
    run.communicate(timeout=30)

    assert run.returncode == 5


def test_an_engine_that_ends_under_the_fault_makes_the_window_contaminated(plain_lab: Lab) -> None:
    engine = plain_lab.start(BUSY, ENGINE)
    run = plain_lab.run("F12", duration_s=20)
    plain_lab.await_state("ACTIVE")

    engine.kill()
    run.communicate(timeout=30)

    assert run.returncode == 5
    assert "of the engine ended under the fault" in plain_lab.truth()["messages"][0]


def test_a_pod_without_an_engine_is_refused(plain_lab: Lab) -> None:
    plain_lab.start(IDLE)

    run = plain_lab.run("F12", duration_s=1)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 2
    assert "no engine runs in pod replica-0" in err
