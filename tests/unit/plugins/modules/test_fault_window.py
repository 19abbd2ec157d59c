# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module hands the fault to the agent, and its verdict to the user."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import fault_window

# Stands in for the agent: writes down how it was called, and answers as the test wants.
AGENT = """
import json, pathlib, signal, sys, time
folder = pathlib.Path(__file__).parent
called = {"arguments": sys.argv[1:], "spec": json.loads(sys.stdin.read())}
answer = json.loads((folder / "answer.json").read_text())
if answer.get("wait"):
    def stop(number, frame):
        raise SystemExit(4)
    signal.signal(signal.SIGTERM, stop)
    (folder / "called.json").write_text(json.dumps(called))
    time.sleep(20)
(folder / "called.json").write_text(json.dumps(called))
sys.stdout.write(answer.get("output", ""))
sys.stderr.write(answer.get("complaint", ""))
sys.exit(answer["code"])
"""


class Host:
    """The folder of a fake agent."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        (folder / "agent.pyz").write_text(AGENT)

    def answers(self, **answer: object) -> None:
        (self.folder / "answer.json").write_text(json.dumps(answer))

    def run(self, **options: object) -> dict[str, Any]:
        arguments = {
            "fault": "F01",
            "target": "replica/llm-0",
            "agent_path": str(self.folder / "agent.pyz"),
            "state_dir": "/state",
            "pods_file": "/pods.json",
            **options,
        }
        # As with `omit` in a playbook.
        given = {name: value for name, value in arguments.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit):
            fault_window.main()
        return json.loads(self._capsys.readouterr().out)

    def called(self) -> dict[str, Any]:
        return json.loads((self.folder / "called.json").read_text())


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


def test_an_effective_window_returns_the_truth(host: Host) -> None:
    host.answers(code=0, output=json.dumps({"outcome": "effective", "messages": []}))

    result = host.run(parameters={"duration_s": 20}, truth_path="/results/truth.json")

    assert result["changed"]
    assert result["truth"]["outcome"] == "effective"
    called = host.called()
    assert called["spec"] == {
        "fault": "F01",
        "target": "replica/llm-0",
        "parameters": {"duration_s": 20},
    }
    assert called["arguments"] == [
        "run", "--state-dir", "/state", "--pods", "/pods.json", "--parent", str(os.getpid()),
        "--truth", "/results/truth.json",
    ]  # fmt: skip


def test_a_clusters_file_takes_the_place_of_the_pods(host: Host) -> None:
    host.answers(code=0, output=json.dumps({"outcome": "effective", "messages": []}))

    host.run(pods_file=None, cluster_file="/cluster.json")

    arguments = host.called()["arguments"]
    assert arguments[:5] == ["run", "--state-dir", "/state", "--cluster", "/cluster.json"]
    assert "mutually exclusive" in host.run(cluster_file="/cluster.json")["msg"]
    assert "one of the following is required" in host.run(pods_file=None)["msg"]


def test_guard_confirmation_and_events_are_handed_on(host: Host) -> None:
    host.answers(code=0, output=json.dumps({"outcome": "effective", "messages": []}))

    host.run(
        confirm="node/a", events_path="/run/events.jsonl", guard={"command": ["true"], "every_s": 5}
    )

    called = host.called()
    assert called["arguments"][-2:] == ["--events", "/run/events.jsonl"]
    assert called["spec"]["confirm"] == "node/a"
    assert called["spec"]["guard"] == {
        "command": ["true"],
        "requests": None,
        "max_error_ratio": 0.5,
        "window_s": 10.0,
        "every_s": 5.0,
    }


def test_check_mode_asks_for_the_preflight_only(host: Host) -> None:
    host.answers(code=0)

    result = host.run(_ansible_check_mode=True)

    assert "check mode injects nothing" in result["msg"]
    assert host.called()["arguments"][-1] == "--check"


def test_a_refusal_fails_with_the_agents_words(host: Host) -> None:
    host.answers(code=2, complaint="refused: the lab is not up")

    result = host.run()

    assert result["failed"]
    assert result["msg"] == "F01 on replica/llm-0: refused: the lab is not up"


def test_a_window_without_effect_fails_and_still_returns_the_truth(host: Host) -> None:
    truth = {"outcome": "not_effective", "messages": ["no effect was seen"]}
    host.answers(code=3, output=json.dumps(truth))

    result = host.run()

    assert result["failed"]
    assert result["changed"]
    assert "not_effective: no effect was seen" in result["msg"]
    assert result["truth"] == truth


def test_a_missing_agent_names_its_role(host: Host) -> None:
    result = host.run(agent_path="/nowhere/agent.pyz")

    assert "run the role rcalab.llm.chaos_agent" in result["msg"]


def test_its_own_end_is_handed_on_to_the_agent(host: Host) -> None:
    host.answers(code=0, wait=True)

    def terminate() -> None:
        while not (host.folder / "called.json").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    result = host.run()

    assert result["failed"]
    assert "ended with 4" in result["msg"]
