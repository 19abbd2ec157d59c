# SPDX-License-Identifier: Apache-2.0
"""The command line as a process: exit codes, signals, and messages."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadgen import cli
from loadgen.cli import main
from loadgen.commands import mock, run_options

pytestmark = pytest.mark.slow

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
        assert process.wait(20) == 0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
        # Streamed, not at the end.
        wait_until(lambda: requests.exists() and requests.stat().st_size > 0)
        if number is None:
            assert process.stdin is not None
            process.stdin.close()
        else:
            process.send_signal(number)
        assert process.wait(20) == code
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["requests"]["issued"] == len(requests.read_text().splitlines()) > 0


def children_of(process: subprocess.Popen[bytes]) -> list[Path]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [Path("/proc", number) for number in listed.split()]


def shares_in(requests: Path) -> set[int]:
    """The shares, of three, that a file of records has something of."""
    if not requests.exists():
        return set()
    return {json.loads(line)["index"] % 3 for line in requests.read_text().splitlines()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_of_a_run_outlives_its_leader(
    mock_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    command = ["run", "--url", mock_url, *RUN, "--duration", "60", "--out", str(tmp_path)]
    with subprocess.Popen(
        [*LOADGEN, *command, "--processes", "3"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        requests = tmp_path / "requests.jsonl"
        wait_until(lambda: shares_in(requests) == {0, 1, 2})
        others = children_of(process)
        assert len(others) >= 2
        process.send_signal(number)
        wait_until(lambda: not any(other.exists() for other in others))
        assert process.wait(20) == (130 if number is signal.SIGINT else -signal.SIGKILL)
    assert shares_in(requests) == {0, 1, 2}  # whole lines to the end


def test_a_process_that_dies_ends_the_run_with_an_error(mock_url: str, tmp_path: Path) -> None:
    command = ["run", "--url", mock_url, *RUN, "--duration", "60", "--out", str(tmp_path)]
    with subprocess.Popen(
        [*LOADGEN, *command, "--processes", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        requests = tmp_path / "requests.jsonl"
        wait_until(lambda: requests.exists() and requests.stat().st_size > 0)
        (other,) = (each for each in children_of(process) if is_sender(each))
        os.kill(int(other.name), signal.SIGKILL)
        assert process.stderr is not None
        assert b"a process of the load died" in process.stderr.read()
        assert process.wait(20) == 1
    assert not (tmp_path / "summary.json").exists()


def is_sender(process: Path) -> bool:
    """Tell a process that sends from the one that multiprocessing keeps its books with."""
    return b"spawn_main" in (process / "cmdline").read_bytes()


def test_a_killed_run_has_written_what_came_before(mock_url: str, tmp_path: Path) -> None:
    command = ["run", "--url", mock_url, *RUN, "--duration", "60", "--out", str(tmp_path)]
    with subprocess.Popen([*LOADGEN, *command], stderr=subprocess.DEVNULL) as process:
        requests = tmp_path / "requests.jsonl"
        # Twenty a second are due, and written as they end.
        wait_until(lambda: requests.exists() and requests.read_bytes().count(b"\n") >= 20)
        process.kill()
    assert all(json.loads(line) for line in requests.read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--rate", "0"], r"rate_per_s must be above 0"),
        (["--rate", "fast"], r"invalid float value: 'fast'"),
        (["--url", "127.0.0.1:8000"], r"base_url must be an http or https URL"),
        (["--url", "http://h:8000/v1"], r"leave the API's path out"),
        (["--url", "http://me:pw@h"], r"must not hold a user or password"),
        (["--users", "3"], r"got rate_per_s and closed"),
        (["--duration", "soon"], r"a time is a number of seconds, or such as 90s, 5m, 1h30m"),
        (["-k", "s3cret"], r"-k: a key on the command line shows in every `ps`"),
        (["--api-key", "s3cret"], r"LOADGEN_API_KEY"),
        (["--prompt-text", "@/no/such"], r"can't read the prompt from /no/such"),
        (["--trace", "/no/such"], r"got rate_per_s and trace"),
        (["--exact", "--prompt-text", "x"], r"only synthetic prompts can be exact"),
        (["--provider", "triton-infer"], r"has no streams: ask without \(--no-stream\)"),
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
    assert "s3cret" not in error
    assert not (tmp_path / "out").exists()


def test_a_command_line_of_the_reference_tool(
    mock_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "results.csv", ["--out", str(tmp_path / "out"), "--force"]
    command = ["run", "-H", mock_url, "-t", "1s", "-u", "300", "-r", "300", "-p", "60", "-o", "8"]
    qps = ["--qps", "10", "--qps-distribution", "exponential", "--prompt-randomize"]
    options = ["--stream", "--chat", "--logprobs", "true", "--provider", "vllm", "--headless"]
    row = ["--summary-file", str(table)]
    assert exit_code(*command, *qps, *options, *row, *out) == 0
    profile = json.loads((tmp_path / "out/summary.json").read_text())["profile"]
    assert (profile["rate_per_s"], profile["closed"]) == (10, None)
    assert profile["arrivals"]["distribution"] == "poisson"
    assert (profile["prompts"]["kind"], profile["prompts"]["randomize"]) == ("padding", True)
    assert (profile["prompt_tokens"], profile["output_tokens"]) == (60, 8)
    assert profile["api"] == {
        "endpoint": "chat",
        "stream": True,
        "temperature": 1.0,
        "logprobs": 0,
    }
    # Without --qps, the users are a closed loop; with --burst, a burst is as large as they are.
    plain = ["run", "-H", mock_url, "-t", "0.5", "-o", "4"]
    assert exit_code(*plain, "-u", "2", "-r", "10", *row, *out) == 0
    profile = json.loads((tmp_path / "out/summary.json").read_text())["profile"]
    assert profile["closed"] == {
        "users": 2,
        "think_s": 0.0,
        "thinking": "constant",
        "spawn_per_s": 10.0,
    }
    assert (profile["prompt_tokens"], profile["api"]["stream"]) == (512, False)
    assert (profile["api"]["endpoint"], profile["provider"]) == ("completions", "vllm")
    assert exit_code(*plain, "-u", "3", "--burst", "1", *row, *out) == 0
    profile = json.loads((tmp_path / "out/summary.json").read_text())["profile"]
    assert (profile["bursts"], profile["closed"]) == ({"every_s": 1.0, "size": 3}, None)
    rows = list(csv.DictReader(table.open()))
    assert list(rows[0])[:3] == ["Provider", "Model", "Prompt Tokens"]
    assert [row["Concurrency"] for row in rows] == ["", "2", "3"]
    assert [row["Num Tokens"] for row in rows] == ["8.0", "4.0", "4.0"]
    assert float(rows[0]["Time To First Token"]) >= 5
    capsys.readouterr()


def test_the_model_is_the_services_first_where_none_is_named(
    mock_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["run", "--url", mock_url, "--rate", "20", "--requests", "4", "-o", "2"]
    assert exit_code(*command) == 0
    (written,) = tmp_path.glob("loadgen-*/summary.json")
    summary = json.loads(written.read_text())
    assert summary["profile"]["model"] == "mock"
    assert summary["requests"]["success"] == 4


def test_a_key_from_the_environment_is_used_and_shown_nowhere(
    mock_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADGEN_API_KEY", "s3cret")
    command = ["run", "--url", mock_url, *RUN, "--duration", "0.2", "--processes", "2"]
    assert exit_code(*command, "--out", str(tmp_path)) == 0
    assert "s3cret" not in "".join(path.read_text() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--fault=earthquake@1", "KIND one of 404, 429, 503, reset,"),
        ("--fault=503@9-3", "last request of a fault comes before the first"),
        ("--pause=soon", "a pause is START:SECONDS"),
        ("--itl-ms=-1", "itl_ms must be a number of at least 0"),
        ("--provider=tgi", "invalid choice"),
        ("--template-tokens=-1", "template_tokens must be at least 0"),
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


def test_the_examples_of_the_help_are_command_lines() -> None:
    parser = cli._parser()
    for text in (run_options.EPILOG, mock.EPILOG):
        lines = re.findall(r"loadgen ((?:run|mock) .*)", text.replace("\\\n", ""))
        assert len(lines) >= 4
        for line in lines:
            parser.parse_args(shlex.split(line))


@pytest.mark.parametrize("verb", ["run", "mock"])
def test_help_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(verb, "--help") == 0
    text = capsys.readouterr().out
    assert f"loadgen {verb} --" in text
    assert "examples:" in text
