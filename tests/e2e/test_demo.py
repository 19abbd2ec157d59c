# SPDX-License-Identifier: Apache-2.0
"""The main job on real parts: lab up, one run with real vLLM, diagnosis, report, lab down."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_play import play, start_playbook
from machine_state import Snapshot
from process_tree import kill_tree

from rca_engine.case import Case
from rcalab_common.times import parse_utc

QUOTA = Path("/sys/fs/cgroup/cpu/rcalab/pods/replica-0/cpu.cfs_quota_us")
QUOTA_V2 = Path("/sys/fs/cgroup/rcalab/pods/replica-0/cpu.max")

pytestmark = pytest.mark.root


def quota() -> str:
    """Return the CPU quota of replica-0's pod, as the kernel writes it."""
    return (QUOTA if QUOTA.exists() else QUOTA_V2).read_text(encoding="ascii").strip()


def is_limited() -> bool:
    return not quota().startswith(("-1", "max"))


def is_up(component: str) -> bool:
    """Ask Prometheus whether its last scrape of a component succeeded."""
    query = urllib.parse.urlencode({"query": f'up{{component="{component}"}}'})
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/query?{query}") as answer:
        (series,) = json.load(answer)["data"]["result"]
    return series["value"][1] == "1"


@pytest.fixture(scope="module")
def before() -> Snapshot:
    return Snapshot.take()


@pytest.fixture(scope="module")
def lab(before: Snapshot) -> Iterator[None]:
    status, output = play("lab_up")
    if status != 0:
        play("lab_down")
        pytest.fail(f"the lab did not come up:\n{output}")
    yield
    play("lab_down")


@pytest.fixture(scope="module")
def run_dir(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    status, output = play("experiment", experiment_results_dir=str(results))
    assert status == 0, output
    return results / "demo" / "cpu-starvation" / "run-01"


@pytest.fixture(scope="module")
def truth(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "ground_truth.json").read_text(encoding="utf-8"))


def test_a_second_lab_up_changes_nothing(lab: None) -> None:
    status, output = play("lab_up")
    assert status == 0, output
    assert "changed=0" in output, [line for line in output.splitlines() if "changed" in line]


def test_the_fault_had_its_effect_and_was_reverted(truth: dict[str, Any]) -> None:
    assert truth["outcome"] == "effective"
    assert truth["reverted_by"] == "controller"
    assert truth["times"]["effect_first_seen"]
    assert truth["times"]["revert_verified"]
    assert not is_limited()


def test_the_case_is_complete(run_dir: Path, truth: dict[str, Any]) -> None:
    manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    target = truth["target"]["component"]
    rows = [row for row in manifest["completeness"] if row["required"]]
    assert {row["component"] for row in rows} >= {
        "gateway/nginx",
        "head/ray",
        "replica/llm-0",
        "replica/llm-1",
    }
    for row in rows:
        unexpected = [gap for gap in row["gaps"] if not gap["expected"]]
        assert not unexpected, row
        if row["component"] != target:
            assert row["ratio"] >= 0.95, row


def test_the_starved_replica_is_among_the_top_three(run_dir: Path) -> None:
    for method in ("baro", "nsigma"):
        diagnosis = json.loads(
            (run_dir / "diagnosis" / f"{method}.json").read_text(encoding="utf-8")
        )
        assert diagnosis["status"] == "ok", diagnosis["reason"]
        assert diagnosis["time_source"] == "alert"
        assert "replica/llm-0" in [c["component"] for c in diagnosis["components"][:3]]


def test_the_alert_comes_with_the_fault(run_dir: Path, truth: dict[str, Any]) -> None:
    """The alert counts requests by their intended time: those in flight when the fault came too."""
    info = Case.load(run_dir).info
    assert info.alert is not None
    applied, reverted = (parse_utc(truth["times"][name]) for name in ("applied", "reverted"))
    in_flight_ns = int(info.slo.latency_ms * 1_000_000)
    assert applied - in_flight_ns < info.alert.time_ns < reverted + 10_000_000_000


def test_the_report_tells_what_broke(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "CPU starvation hit replica/llm-0" in page


def test_a_run_whose_slo_broke_before_the_fault_is_done_again_and_gives_no_case(
    lab: None, tmp_path: Path
) -> None:
    status, output = play(
        "experiment",
        experiment_results_dir=str(tmp_path),
        experiment_attempts=2,
        experiment_scenarios=[
            {
                "name": "busy",
                "fault": "F01",
                "target": "replica/llm-0",
                "parameters": {"cpu_limit_cores": 0.05},
            }
        ],
        experiment_slo_latency_ms=1,
        experiment_slo_window_s=5,
        experiment_warmup_s=1,
        experiment_steady_state_s=5,
        experiment_baseline_s=10,
        experiment_fault_s=10,
        experiment_recovery_s=1,
    )
    assert status != 0
    assert "It is done again." in output
    assert "2 times in a row what was measured does not count: busy/run-01" in " ".join(
        output.split()
    )
    attempts = tmp_path / "demo" / "quarantine" / "busy"
    assert len(list(attempts.glob("run-01.*/load/requests.jsonl"))) == 2
    assert not list(tmp_path.rglob("case.json"))
    assert "busy/run-01" in (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert not is_limited()


def test_a_killed_controller_leaves_no_fault(lab: None, tmp_path: Path) -> None:
    """Kill ansible-playbook and all that it started while the fault is on."""
    process = start_playbook(
        "experiment",
        experiment_results_dir=str(tmp_path),
        experiment_steady_state_s=5,
        experiment_baseline_s=5,
        experiment_fault_s=40,
        experiment_recovery_s=5,
    )
    deadline = time.monotonic() + 120
    while not is_limited():
        assert time.monotonic() < deadline, "the fault never came"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    kill_tree(process.pid)
    process.wait()
    killed = time.monotonic()
    # Time to live: the fault's 40 s and 30 s more.
    while is_limited():
        assert time.monotonic() - killed < 72, "the quota outlived its time"
        time.sleep(0.5)


def test_a_dead_part_is_named_before_a_run(lab: None, tmp_path: Path) -> None:
    control = [
        "-m",
        "supervisor.supervisorctl",
        "-c",
        "/var/lib/rcalab/supervisor/supervisord.conf",
    ]
    subprocess.run(
        [sys.executable, *control, "stop", "ray-replica-1"], check=True, capture_output=True
    )
    deadline = time.monotonic() + 60
    while is_up("replica/llm-1"):
        assert time.monotonic() < deadline, "Prometheus still sees the stopped replica"
        time.sleep(0.5)
    status, output = play("experiment", experiment_results_dir=str(tmp_path))
    assert status != 0
    assert "replica/llm-1" in output
    assert not list(tmp_path.rglob("case.json"))


def test_lab_down_leaves_nothing(lab: None, before: Snapshot) -> None:
    """Last in this file: it takes the lab of the others down."""
    status, output = play("lab_down")
    assert status == 0, output
    assert before.left_over(Snapshot.take()) == []
    assert shutil.which("nginx"), "packages stay: they were prepared before the lab"
