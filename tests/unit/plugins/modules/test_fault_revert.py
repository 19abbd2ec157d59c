# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is left in a state directory is put back, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.module_utils.faults import processes
from ansible_collections.rcalab.llm.plugins.module_utils.faults.recovery import take_over
from ansible_collections.rcalab.llm.plugins.module_utils.faults.state import StateDir
from ansible_collections.rcalab.llm.plugins.modules import fault_revert

IDLE = "import time; time.sleep(30)"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(state: Path, **options: object) -> dict[str, Any]:
        with (
            patch_module_args({"state_dir": str(state), **options}),
            pytest.raises(SystemExit),
        ):
            fault_revert.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def stopped() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", IDLE])
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)  # until it has stopped
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def state(tmp_path: Path, stopped: subprocess.Popen[bytes]) -> Path:
    """A window whose runner is gone, and which has left a process stopped."""
    window = tmp_path / "windows" / "w1"
    window.mkdir(parents=True)
    held = processes.identify(stopped.pid)
    undo = {
        "format": 1,
        "boot_id": processes.boot_id(),
        "runner": {"pid": 999_999_999, "start": 1},
        "truth_path": None,
        "events_path": None,
        "actions": [
            {
                "kind": "continue_pod",
                "lab": "rcalab-test",
                "pod": "nobody",
                "processes": [list(asdict(held).values())],
            }
        ],
    }
    (window / "undo.json").write_text(json.dumps(undo))
    return tmp_path


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    return processes.is_stopped(processes.identify(process.pid))


def test_it_reverts_and_the_second_time_changes_nothing(
    run: Run, state: Path, stopped: subprocess.Popen[bytes]
) -> None:
    first, second = run(state), run(state)

    assert (first["changed"], first["reverted"]) == (True, ["w1"])
    assert (second["changed"], second["reverted"]) == (False, [])
    assert not is_stopped(stopped)


def test_a_watchdog_that_sees_the_runner_end_leaves_the_revert_to_the_operator(
    run: Run, state: Path
) -> None:
    window = StateDir(state).window("w1")
    runner = subprocess.Popen([sys.executable, "-c", IDLE])
    process = processes.identify(runner.pid)
    undo = json.loads(window.undo_file.read_text()) | {"runner": asdict(process)}
    window.undo_file.write_text(json.dumps(undo))

    def watch() -> bool:
        while processes.is_alive(process):
            time.sleep(0.001)
        return take_over(StateDir(state), window, window.read_undo(), "watchdog", "it was gone")

    with ThreadPoolExecutor() as pool:
        by_watchdog = pool.submit(watch)
        result = run(state)

    assert runner.wait() == -signal.SIGKILL
    assert result["reverted"] == ["w1"]
    assert not by_watchdog.result()


def test_a_cluster_that_cannot_be_reached_is_said_so(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path, kubeconfig="/nowhere")

    assert result["failed"]
    assert "not everything could be put back" in result["msg"]


def test_a_cluster_of_which_no_file_tells_is_said_so(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path, cluster_file=str(tmp_path / "cluster.json"))

    assert "cluster.json is missing: run the role chaos_agent" in result["msg"]


def test_check_mode_tells_and_does_nothing(
    run: Run, state: Path, stopped: subprocess.Popen[bytes]
) -> None:
    result = run(state, _ansible_check_mode=True)

    assert (result["changed"], result["reverted"]) == (True, ["w1"])
    assert is_stopped(stopped)


def test_without_a_state_directory_there_is_nothing_to_do(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path / "none")["changed"] is False


def test_an_undo_that_cannot_be_read_fails_and_the_others_are_done(
    run: Run, state: Path, stopped: subprocess.Popen[bytes]
) -> None:
    broken = state / "windows" / "w0"
    broken.mkdir()
    (broken / "undo.json").write_text("{")

    result = run(state)

    assert "w0" in result["msg"]
    assert "restore by hand" in result["msg"]
    assert not is_stopped(stopped)
