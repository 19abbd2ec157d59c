# SPDX-License-Identifier: Apache-2.0
"""The command line as a process: exit codes, signals, and messages."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.cli import main

LOADGEN = [sys.executable, "-m", "loadgen"]
RUN = ["--model", "mock", "--rate", "20", "--prompt-tokens", "8", "--output-tokens", "4"]


@pytest.fixture
def mock_url() -> Iterator[str]:
    with subprocess.Popen(
        [*LOADGEN, "mock", "--port", "0", "--ttft-ms", "5", "--itl-ms", "2"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        match = re.search(r"http://\S+", process.stderr.readline())
        assert match is not None
        yield match[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def exit_code(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as stopped:  # argparse's own way to end
        return int(stopped.code or 0)


def test_a_run_prints_its_figures_and_where_they_are(
    mock_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert exit_code("run", "--url", mock_url, *RUN, "--duration", "1", "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "20 scheduled, 20 issued, 20 succeeded" in printed
    assert str(out / "summary.json") in printed


def test_strict_turns_an_invalid_run_into_an_exit_code(
    mock_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.audit.DEGRADED_CPU", 0.0)
    monkeypatch.setattr("loadgen.audit.INVALID_CPU", 0.0)
    command = ["run", "--url", mock_url, *RUN, "--duration", "0.2", "--out", str(tmp_path)]
    assert exit_code(*command) == 0
    assert exit_code(*command, "--force", "--strict") == 3


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (None, 143)]
)
def test_a_stopped_run_keeps_what_it_has(
    mock_url: str, tmp_path: Path, number: signal.Signals | None, code: int
) -> None:
    """``None``: whoever holds the other end of standard input goes away."""
    command = ["run", "--url", mock_url, *RUN, "--duration", "60", "--out", str(tmp_path)]
    with subprocess.Popen(
        [*LOADGEN, *command, "--stop-on-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        requests = tmp_path / "requests.jsonl"
        deadline = time.monotonic() + 10
        while not (requests.exists() and requests.stat().st_size):  # streamed, not at the end
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if number is None:
            assert process.stdin is not None
            process.stdin.close()
        else:
            process.send_signal(number)
        assert process.wait(5) == code
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["requests"]["issued"] == len(requests.read_text().splitlines()) > 0


def test_a_killed_run_loses_at_most_a_second(mock_url: str, tmp_path: Path) -> None:
    command = ["run", "--url", mock_url, *RUN, "--duration", "60", "--out", str(tmp_path)]
    with subprocess.Popen([*LOADGEN, *command], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 10
        requests = tmp_path / "requests.jsonl"
        while not requests.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(2.2)
        process.kill()
    records = [json.loads(line) for line in requests.read_text().splitlines()]
    assert len(records) >= 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--rate", "0"], r"rate_per_s must be above 0"),
        (["--rate", "fast"], r"invalid float value: 'fast'"),
        (["--url", "127.0.0.1:8000"], r"base_url must be an http or https URL"),
        (["--url", "http://h:8000/v1"], r"leave the API's path out"),
        (["--url", "http://me:pw@h"], r"must not hold a user or password"),
        (["--provider", "gopher"], r"provider must be one of anyscale, .*vllm, got 'gopher'"),
        (["--slo-target", "90"], r"SLO target must be above 0 and at most 1"),
        (["--api-key-file", "/no/such"], r"can't read the API key from /no/such"),
        (["--stall-timeout", "nan"], r"stall_s must be above 0, got nan"),
        (["--url", "http://127.0.0.1:9"], r"can't reach http://127\.0\.0\.1:9/v1/models"),
    ],
)
def test_bad_input_is_one_line_that_says_what_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    good = ["--url", "http://127.0.0.1:9", "--duration", "1", "--out", str(tmp_path / "out")]
    assert exit_code("run", *RUN, *good, *change) == 1
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--fault=earthquake@1", "KIND one of 404, 429, 503, reset,"),
        ("--fault=503@9-3", "last request of a fault comes before the first"),
        ("--pause=soon", "a pause is START:SECONDS"),
        ("--itl-ms=-1", "itl_ms must be a number of at least 0"),
        ("--metrics-prefix=a-b", "metrics_prefix must be letters"),
        ("--arrivals=/no/such/file", "can't write /no/such/file"),
    ],
)
def test_bad_mock_options_are_one_line(
    capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert exit_code("mock", "--port=0", option) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_port_that_is_taken_is_one_line(
    mock_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("mock", "--port", mock_url.rsplit(":", 1)[1]) == 1
    assert "can't listen on 127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "mock"])
def test_help_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(verb, "--help") == 0
    text = capsys.readouterr().out
    assert f"loadgen {verb} --" in text
    assert "examples:" in text
