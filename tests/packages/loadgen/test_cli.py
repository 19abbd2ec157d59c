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
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from loadgen import cli
from loadgen.cli import main
from loadgen.commands import compare, merge, mock, report, run_options, search, sweep

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


VERBS = {
    "run": run_options,
    "mock": mock,
    "search": search,
    "sweep": sweep,
    "report": report,
    "compare": compare,
    "merge": merge,
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_the_help_are_command_lines(verb: str) -> None:
    parser = cli._parser()
    text = VERBS[verb].EPILOG.replace("\\\n", "").replace("$START", "2026-01-31T12:00:00Z")
    lines = re.findall(r"(?m)^ +(?:\S+=\S+ )?loadgen ((?:\w+) .*)", text)
    assert len(lines) >= 2
    assert any(line.startswith(verb) for line in lines)
    for line in lines:
        parser.parse_args(shlex.split(line))


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(verb, "--help") == 0
    text = capsys.readouterr().out
    assert f"loadgen {verb} " in text
    assert re.search(r"(?m)^examples?:", text)


def test_broken_assertions_are_an_exit_code_and_part_of_the_figures(
    mock_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    command = ["run", "--url", mock_url, *RUN, "--duration", "0.5", "--out", out]
    assert exit_code(*command, "--assert", "failed==0", "--assert", "p50_ttft_ms<1ms") == 4
    printed = capsys.readouterr().out
    assert "failed==0: held" in printed
    assert re.search(r"p50_ttft_ms<1ms: broken, it was [\d.]+", printed)
    assert exit_code("report", out, "--assert", "attainment>=99%", "--write", "vllm") == 0
    assert (tmp_path / "out" / "vllm.json").exists()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [each["assertion"] for each in summary["assertions"]] == ["attainment>=99%"]
    Draft202012Validator(
        json.loads((files("loadgen") / "schemas" / "summary.json").read_text())
    ).validate(summary)


def test_windows_are_shown_while_they_are_open_and_in_the_end(
    mock_url: str, tmp_path: Path
) -> None:
    events, out = tmp_path / "events.jsonl", tmp_path / "out"
    command = ["run", "--url", mock_url, *RUN, "--duration", "4", "--out", str(out)]
    with subprocess.Popen(
        [*LOADGEN, *command, "--events", str(events), "--metrics-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert re.search(r"metrics on http://127\.0\.0\.1:\d+/metrics", process.stderr.readline())
        requests = out / "requests.jsonl"
        wait_until(lambda: requests.exists() and requests.stat().st_size > 0)
        now_ns = time.time_ns()
        with events.open("w") as file:
            for event, at_ns in (("window_start", now_ns), ("window_end", now_ns + 10**9)):
                file.write(json.dumps({"time_ns": at_ns, "event": event, "name": "cpu"}) + "\n")
            file.write("no event\n")
        printed, shown = process.communicate(timeout=60)
    assert process.returncode == 0
    assert shown.splitlines()[:2] == ["window cpu began", "window cpu ended"]
    assert re.search(r"window cpu: 100.0% available, 0 lost, 0 late of \d+; never seen", printed)
    assert f"events: {events}, line 3: no JSON" in printed
    schema = json.loads((files("loadgen") / "schemas" / "summary.json").read_text())
    Draft202012Validator(schema).validate(json.loads((out / "summary.json").read_text()))
    # The events go with the run: the same windows can be made from its folder alone.
    assert exit_code("report", str(out), "--events", str(out / "events.jsonl")) == 0


def test_two_runs_compare_and_a_ratio_can_fail(
    mock_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(tmp_path / name) for name in ("a", "b")]
    for folder in folders:
        command = ["run", "--url", mock_url, *RUN, "--duration", "2", "--out", folder]
        assert exit_code(*command) == 0
    capsys.readouterr()
    written = tmp_path / "compared.json"
    compared = ["compare", *folders, "--resamples", "200", "--json", str(written)]
    assert exit_code(*compared) == 0
    assert "p50 response_ttft_ms" in capsys.readouterr().out
    figures = json.loads(written.read_text())["figures"]
    assert figures[0]["low"] <= figures[0]["change"] <= figures[0]["high"]
    assert exit_code(*compared, "--worse-than", "0.0001") == 4
    assert exit_code("compare", folders[0], str(tmp_path / "none")) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "--assert", "speed>9"], "there is no figure 'speed' to assert"),
        (["run", "--shard", "3/3"], "shard must be at least 0 and at most 2"),
        (["run", "--start-at", "noon"], "--start-at is a time such as"),
        (["run", "--events", "/no/such/e.jsonl"], "in a folder that is there"),
        (["run", "--write", "pdf"], "invalid choice: 'pdf'"),
        (["sweep"], "sweep over --rates or over --users"),
        (["sweep", "--rates", "1,fast"], "a list is numbers with commas"),
        (["sweep", "--rates", "1,1"], "must be above 0 and differ"),
        (["search", "--slo-target", "1"], "a search needs an SLO target below 1"),
        (["search", "--precision", "2"], "precision must be at least 0.001"),
    ],
)
def test_bad_input_of_the_newer_options_is_one_line_too(
    mock_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    message: str,
) -> None:
    verb, *rest = command
    load = ["--rate", "5"] if verb == "run" else []
    where = ["--url", mock_url, "--duration", "1", "--out", str(tmp_path / "out")]
    assert exit_code(verb, *where, *load, *rest) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
