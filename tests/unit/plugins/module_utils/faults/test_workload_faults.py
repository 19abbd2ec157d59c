# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that are load: a real loadgen beside, on loadgen's own mock as gateway and engine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import LAB, Lab, wait_for

pytest.importorskip("loadgen")
pytestmark = pytest.mark.slow

CLIENT = "client/loadgen"
EFFECTIVE, REFUSED, ABORTED, CONTAMINATED = 0, 2, 4, 5
# What the agent may take until it notices that it has lost its lease, and a little.
LEASE_S = 8
LOADGEN = [sys.executable, "-m", "loadgen"]


class Mock:
    """An engine of loadgen's mock, which is its own gateway."""

    def __init__(self, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [*LOADGEN, "mock", "--port", str(port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self.answers, "the mock", 30)

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            self._get("/health")
            return True
        return False

    def metric(self, name: str) -> float:
        lines = self._get("/metrics").decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def is_idle(self) -> bool:
        return not self.metric("vllm:num_requests_running") + self.metric(
            "vllm:num_requests_waiting"
        )

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=2) as answer:  # noqa: S310 - http
            return answer.read()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class LoadedLab(Lab):
    """A lab whose client, gateway and only replica are loadgen's."""

    def __init__(self, agent: Path, folder: Path, mock: Mock) -> None:
        super().__init__(agent, folder, "replica-0", None)
        self.mock = mock
        self.second_load = folder / "second_load"
        self.facts: dict[str, Any] = {
            "format": 1,
            "node": "node/host",
            "supervisor": "/nowhere",
            "service": {"kind": "http", "url": f"{mock.url}/health"},
            "client": {"command": LOADGEN, "url": mock.url},
            "engine": {"model": "mock", "max_model_len": 2048, "metrics": f"{mock.url}/metrics"},
            "prometheus": None,
            "telemetry": [],
            "grafana": None,
            "deny": [],
            "faketime": {},
        }
        self.describe()

    def describe(self, **more: object) -> None:
        """Write what the roles write of the lab, some of it changed."""
        components = {"gateway": "gateway/nginx", "replica-0": "replica/llm-0"}
        pods = [
            {"name": name, "component": component, "address": "127.0.0.1", "cgroup": None}
            for name, component in components.items()
        ]
        listed = {"format": 1, "lab": LAB, "isolation": "none", "pods": pods}
        self.pods.write_text(json.dumps(listed))
        self.pods.with_name("lab.json").write_text(json.dumps(self.facts | more))

    def loads(self) -> list[int]:
        """Return the processes that write the second load's records."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and str(self.second_load).encode() in (
                    (entry / "cmdline").read_bytes().split(b"\0")
                ):
                    found.append(int(entry.name))
        return found

    def records(self) -> list[dict[str, Any]]:
        lines = (self.second_load / "requests.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def loaded_lab(agent: Path, tmp_path: Path) -> Iterator[Callable[..., LoadedLab]]:
    """Make a lab; the options are the mock's."""
    with contextlib.ExitStack() as stack:

        def make(*options: str) -> LoadedLab:
            mock = Mock(*options)
            stack.callback(mock.close)
            lab = LoadedLab(agent, tmp_path, mock)
            stack.callback(lab.close)
            return lab

        yield make


@contextlib.contextmanager
def first_load(lab: LoadedLab, folder: Path, *options: str) -> Iterator[None]:
    """The run's own load, 60 s at most; return once the engine sees it."""
    command = [*LOADGEN, "run", "--url", lab.mock.url, "--duration", "60", "--out", str(folder)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: lab.mock.metric("vllm:prompt_tokens_total"), "the first load", 30)
        yield
    finally:
        process.kill()
        process.wait()


def finish(run: subprocess.Popen[str]) -> str:
    return run.communicate(timeout=90)[1]


def test_long_prompts_of_many_users_fill_the_kv_cache(
    loaded_lab: Callable[..., LoadedLab],
) -> None:
    lab = loaded_lab("--kv-tokens", "2048")

    run = lab.run("F23", CLIENT, duration_s=8, users=8, prompt_tokens=256, output_tokens=64)
    err = finish(run)

    assert run.returncode == EFFECTIVE, err
    truth = lab.truth()
    measured = truth["dose"]["measured"]
    assert measured["kv_cache_usage_ratio"] >= 0.9
    assert measured["prompt_tokens_mean"] == pytest.approx(256, abs=1)
    assert truth["root_causes"] == [
        {"component": CLIENT, "metrics": ["client_prompt_tokens_mean", "client_request_rate"]}
    ]


def test_a_surge_comes_at_its_rate_and_ends_with_its_window(
    loaded_lab: Callable[..., LoadedLab],
) -> None:
    lab = loaded_lab("--itl-ms", "5")

    run = lab.run("F25", CLIENT, duration_s=10, rate_per_s=20, output_tokens=8)
    err = finish(run)

    assert run.returncode == EFFECTIVE, err
    truth = lab.truth()
    measured, times = truth["dose"]["measured"], truth["times"]
    # Poisson: of 100 requests or more, three standard deviations are 30 %.
    assert measured["requests_per_s"] == pytest.approx(20, rel=0.3)
    assert measured["engine_requests_per_s_before"] == 0
    assert times["applied"] < times["effect_first_seen"] < times["revert_verified"]
    assert lab.loads() == []
    assert len(lab.records()) == measured["requests"]
    wait_for(lab.mock.is_idle, "an idle engine", 3)


def test_clients_hang_up_on_long_prompts(loaded_lab: Callable[..., LoadedLab]) -> None:
    lab = loaded_lab("--itl-ms", "20")

    run = lab.run("F26", CLIENT, duration_s=8, rate_per_s=4, prompt_tokens=1000, give_up_s=0.3)
    err = finish(run)

    assert run.returncode == EFFECTIVE, err
    measured = lab.truth()["dose"]["measured"]
    assert measured["given_up_ratio"] > 0.8
    assert measured["engine_aborted"] > 0
    # Nobody waited for an answer, which alone tells the tokens of its prompt; the engine does.
    assert measured["engine_prompt_tokens_per_s"] > 1000


def test_prompts_that_share_nothing_spoil_the_prefix_cache(
    loaded_lab: Callable[..., LoadedLab], tmp_path: Path
) -> None:
    lab = loaded_lab("--kv-tokens", "4096", "--itl-ms", "2")
    own = ["--rate", "8", "--prompt-tokens", "96", "--shared-tokens", "64", "--output-tokens", "4"]

    with first_load(lab, tmp_path / "load", *own):
        run = lab.run("F27", CLIENT, duration_s=10, rate_per_s=8, prompt_tokens=512)
        err = finish(run)

    assert run.returncode == EFFECTIVE, err
    measured = lab.truth()["dose"]["measured"]
    assert measured["prefix_hit_ratio_before"] == pytest.approx(64 / 96, abs=0.1)
    assert measured["prefix_hit_ratio_under"] < 0.3


def test_a_cache_that_nothing_hits_can_not_collapse(loaded_lab: Callable[..., LoadedLab]) -> None:
    lab = loaded_lab()

    run = lab.run("F27", CLIENT, duration_s=6)
    finish(run)

    assert lab.truth()["outcome"] == "not_effective"
    assert run.returncode == 3
    assert lab.loads() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_agent_that_is_gone_or_hangs_leaves_no_load(
    loaded_lab: Callable[..., LoadedLab], number: signal.Signals
) -> None:
    lab = loaded_lab()
    run = lab.run("F25", CLIENT, duration_s=60, rate_per_s=10)
    lab.await_state("ACTIVE", 40)
    assert lab.loads() != []

    run.send_signal(number)

    wait_for(lambda: lab.loads() == [], "the second load's end", LEASE_S)
    lab.await_undone(LEASE_S)
    finish(run)
    truth = lab.truth()
    assert (truth["outcome"], truth["reverted_by"]) == ("aborted", "watchdog")
    wait_for(lab.mock.is_idle, "an idle engine", 3)


def test_a_load_that_ends_before_its_time_spoils_the_window(
    loaded_lab: Callable[..., LoadedLab],
) -> None:
    lab = loaded_lab()
    run = lab.run("F25", CLIENT, duration_s=60)
    lab.await_state("ACTIVE", 40)

    for pid in lab.loads():
        os.kill(pid, signal.SIGKILL)
    finish(run)

    assert run.returncode == CONTAMINATED
    assert "the second load has ended (-9)" in lab.truth()["messages"][0]


ELSEWHERE = {"command": LOADGEN, "url": "http://127.0.0.2:8080"}
# Fault, parameters, what lab.json says instead, and what the agent says.
BAD = [
    ("F25", {"rate_per_s": 501}, {}, "rate_per_s must be from 0.1 to 500"),
    ("F25", {"duration_s": 301}, {}, "duration_s must be from 1 to 300"),
    ("F26", {"prompt_tokens": 2000}, {}, "2256 together, and mock takes no more than 2048"),
    ("F23", {"users": 2}, {}, "hold 65536 tokens, and so many users have 3512 in them at most"),
    ("F25", {}, {"client": ELSEWHERE}, "http://127.0.0.2:8080 is no gateway of this lab"),
    (
        "F25",
        {},
        {"client": {"command": LOADGEN, "url": "http://127.0.0.1:9"}},
        "http://127.0.0.1:9/v1/models gives no list of models",
    ),
    (
        "F25",
        {},
        {"engine": {"model": "other", "max_model_len": 2048, "metrics": "http://{address}:9"}},
        "serves mock, and not other",
    ),
    (
        "F25",
        {},
        {"engine": {"model": "mock", "max_model_len": 2048, "metrics": "http://{address}:9"}},
        "the engines' metrics, which would show the effect, can't be read",
    ),
]


@pytest.mark.parametrize(("fault", "parameters", "facts", "message"), BAD)
def test_what_can_not_be_done_is_refused_and_nothing_is_sent(
    loaded_lab: Callable[..., LoadedLab],
    fault: str,
    parameters: dict[str, object],
    facts: dict[str, object],
    message: str,
) -> None:
    lab = loaded_lab()
    lab.describe(**facts)

    run = lab.run(fault, CLIENT, **parameters)
    err = finish(run)

    assert run.returncode == REFUSED
    assert message in err
    assert lab.mock.metric("vllm:prompt_tokens_total") == 0
    assert not lab.second_load.exists()


def test_without_loadgen_it_is_refused_and_says_what_to_install(
    loaded_lab: Callable[..., LoadedLab],
) -> None:
    lab = loaded_lab()
    command = [sys.executable, "-m", "no_such_loadgen"]
    lab.describe(client={"command": command, "url": lab.mock.url})

    run = lab.run("F25", CLIENT)
    err = finish(run)

    assert run.returncode == REFUSED
    assert "install rcalab-llm for the interpreter that lab_python names" in err
