# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part, with a stand-in for the load generator."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import load_benchmark

# Plays `loadgen run`: argv is the folder of the results.
DONE = """
import json, pathlib, sys
audit = {"verdict": "degraded", "reasons": ["sends 30 ms late (p99)"]}
pathlib.Path(sys.argv[1], "summary.json").write_text(json.dumps({"audit": audit}))
"""
UNREACHABLE = """
import sys
sys.exit("10/60 s  sent 2\\nloadgen: error: can't reach http://h")
"""
UNTIL_EOF = """
import pathlib, sys
pathlib.Path(sys.argv[1], "started").touch()
sys.stdin.read()
pathlib.Path(sys.argv[1], "stopped").touch()
"""


def parameters(dest: Path, **changes: Any) -> dict[str, Any]:
    base = {"url": "http://h", "model": "m", "rate": 2, "duration": 3, "dest": str(dest)}
    return {**base, **changes}


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Run the module against a stand-in; return what it says."""
    monkeypatch.setattr(load_benchmark, "LOADGEN_ERROR", None)

    def go(params: dict[str, Any], program: str | None = None) -> dict[str, Any]:
        if program is not None:
            command = [sys.executable, "-c", program, params["dest"]]
            monkeypatch.setattr(load_benchmark, "command_line", lambda _params: command)
        with patch_module_args(params), pytest.raises(SystemExit):
            load_benchmark.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return go


def test_a_run_returns_its_summary_and_the_doubts_about_it(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    result = run(parameters(tmp_path), DONE)
    assert result["changed"] is True
    assert result["summary"]["audit"]["verdict"] == "degraded"
    assert result["summary_path"] == str(tmp_path / "summary.json")
    assert result["requests_path"] == str(tmp_path / "requests.jsonl")
    assert "degraded: sends 30 ms late (p99)" in str(result["warnings"])


def test_check_mode_tells_the_command_and_writes_nothing(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    dest = tmp_path / "load"
    params = parameters(dest, slo={"ttft_ms": 500}, timeouts={"stall": 7}, _ansible_check_mode=True)
    result = run(params)
    assert result["changed"] is True
    assert "summary" not in result
    assert not dest.exists()
    command = result["command"]
    assert command[1:5] == ["-P", "-m", "loadgen", "run"]
    for option in (
        "--url=http://h",
        "--rate=2.0",
        "--slo-ttft-ms=500.0",
        "--slo-latency-ms=4000.0",
        "--stall-timeout=7.0",
        f"--out={dest}",
    ):
        assert option in command
    assert "--force" not in command
    assert not any(word.startswith("--api-key-file") for word in command)


def test_the_service_that_is_not_there_is_one_message(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    result = run(parameters(tmp_path), UNREACHABLE)
    assert result["failed"] is True
    assert result["msg"].endswith("exit code 1: loadgen: error: can't reach http://h")


def test_a_finished_run_is_kept_unless_forced(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "summary.json").write_text("{}")
    result = run(parameters(tmp_path), DONE)
    assert "set force to replace it" in result["msg"]
    assert (tmp_path / "summary.json").read_text() == "{}"
    assert run(parameters(tmp_path, force=True), DONE)["changed"] is True


def test_a_missing_package_comes_with_the_command_that_installs_it(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_benchmark, "LOADGEN_ERROR", "ImportError: loadgen")
    result = run(parameters(tmp_path))
    assert f"{sys.executable} -m pip install" in result["msg"]
    assert "rcalab/llm[load]" in result["msg"]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_load_ends_when_the_module_is_killed(
    run: Callable[..., dict[str, Any]], tmp_path: Path, number: signal.Signals
) -> None:
    fork = multiprocessing.get_context("fork")
    module = fork.Process(target=run, args=(parameters(tmp_path), UNTIL_EOF))
    module.start()
    wait_for(tmp_path / "started")
    os.kill(module.pid or 0, number)
    module.join()
    wait_for(tmp_path / "stopped")
