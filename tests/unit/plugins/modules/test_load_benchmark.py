# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part, with a stand-in for the load generator."""

from __future__ import annotations

import argparse
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
BROKEN = """
import json, pathlib, sys
broken = {"assertion": "failed==0", "observed": 3, "held": False}
held = {"assertion": "truncated==0", "observed": 0, "held": True}
summary = {"audit": {"verdict": "valid", "reasons": []}, "assertions": [broken, held]}
pathlib.Path(sys.argv[1], "summary.json").write_text(json.dumps(summary))
sys.exit(4)
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
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


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


LOADS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"curve": "ramp:1,9@60", "arrivals": "gamma", "burstiness": 0.5},
        ["--curve=ramp:1,9@60", "--arrivals=gamma", "--burstiness=0.5"],
    ),
    ({"bursts": {"every": 5, "size": 20}}, ["--burst-every=5.0", "--burst-size=20"]),
    (
        {"closed": {"users": 4, "think": 1.5, "spawn_rate": 2}, "duration": None, "requests": 9},
        ["--users=4", "--think=1.5", "--thinking=constant", "--spawn-rate=2.0", "--requests=9"],
    ),
    (
        {"trace": {"path": "/t.csv", "speed": 10}, "duration": None},
        ["--trace=/t.csv", "--trace-format=auto", "--trace-speed=10.0"],
    ),
]


@pytest.mark.parametrize(("load", "options"), LOADS)
def test_each_kind_of_load_has_its_options(
    run: Callable[..., dict[str, Any]],
    tmp_path: Path,
    load: dict[str, Any],
    options: list[str],
) -> None:
    command = run(parameters(tmp_path, rate=None, _ansible_check_mode=True, **load))["command"]
    for option in options:
        assert option in command
    assert not any(word.startswith("--rate") for word in command)


def test_prompts_answers_and_the_dialect_have_their_options(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    params = parameters(
        tmp_path,
        prompts={"exact": True, "shared_tokens": 64, "groups": 3, "zipf": 1.1},
        outputs={"distribution": "normal", "cap": 99},
        provider="tgi",
        stream=False,
        processes=2,
        _ansible_check_mode=True,
    )
    command = run(params)["command"]
    for option in (
        "--exact",
        "--shared-tokens=64",
        "--prefix-groups=3",
        "--zipf=1.1",
        "--output-distribution=normal",
        "--output-cap=99",
        "--provider=tgi",
        "--no-stream",
        "--processes=2",
    ):
        assert option in command


def test_options_are_ones_that_loadgen_takes() -> None:
    options = pytest.importorskip("loadgen.commands.run_options")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_run_options(parser)
    params = {name: spec.get("default") for name, spec in load_benchmark.argument_spec().items()}
    for name in ("slo", "timeouts", "prompts", "outputs", "bursts", "closed", "trace"):
        suboptions = load_benchmark.argument_spec()[name]["options"]
        params[name] = {key: spec.get("default", 1) for key, spec in suboptions.items()}
    params.update(
        url="http://h", model="m", dest="/d", duration=1, rate=1, curve="steps:1@1", force=True
    )
    params.update(events="/e", asserts=["failed==0"], write=["html"])
    parser.parse_args(load_benchmark.command_line(params)[5:])
    from loadgen.provider import providers

    assert load_benchmark.argument_spec()["provider"]["choices"] == sorted(providers())


def test_a_broken_assertion_fails_with_what_was_seen(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    result = run(parameters(tmp_path, asserts=["failed==0", "truncated==0"]), BROKEN)
    assert result["failed"] is True
    assert result["msg"] == "the load broke failed==0 (it was 3)"
    assert [each["assertion"] for each in result["broken"]] == ["failed==0"]
    assert result["summary"]["audit"]["verdict"] == "valid"


def test_windows_assertions_and_outputs_have_their_options(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    params = parameters(
        tmp_path,
        events="/e.jsonl",
        asserts=["failed==0", "p95_ttft_ms<500"],
        write=["vllm"],
        _ansible_check_mode=True,
    )
    command = run(params)["command"]
    for option in (
        "--events=/e.jsonl",
        "--assert=failed==0",
        "--assert=p95_ttft_ms<500",
        "--write=vllm",
    ):
        assert option in command


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": None}, "one of the following is required: rate, curve, bursts, closed, trace"),
        ({"curve": "steps:1@1"}, "mutually exclusive"),
        ({"duration": None}, "one of the following is required: duration, requests, trace"),
    ],
)
def test_a_load_must_be_one_and_must_end(
    run: Callable[..., dict[str, Any]], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert message in run(parameters(tmp_path, **changes))["msg"]


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
