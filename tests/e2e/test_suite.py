# SPDX-License-Identifier: Apache-2.0
"""A suite is killed in the middle and goes on, on a lab that needs no root."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_play import play, start_playbook
from process_tree import kill_tree

pytestmark = pytest.mark.slow

SUITE = {
    "seed": 1,
    "scenarios": [
        {
            "name": "tiny",
            "load": {"rate_per_s": 4, "prompt_tokens": 32, "output_tokens": 16},
            "warmup_s": 1,
            "steady_state_s": 4,
            "baseline_s": 12,
            "fault_s": 10,
            "recovery_s": 3,
        }
    ],
    "faults": ["F12", {"fault": "F01", "parameters": {"cpu_limit_cores": 0.02}}],
    "targets": ["replica/llm-0"],
    "shams": 1,
}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The lab's: the simulator on loopback, beside whatever other lab there is."""
    results = tmp_path_factory.mktemp("results")
    (results / "suite.yml").write_text(yaml.safe_dump(SUITE), encoding="utf-8")
    # A lab takes 40 characters at most, which pytest's own folders exceed.
    lab_dir = Path(tempfile.mkdtemp(prefix="rcalab-suite-"))
    yield {
        "lab_isolation": "none",
        "llm_service_engine": "simulator",
        "lab_name": "suitetest",
        "lab_dir": str(lab_dir),
        "lab_observer_address": "127.0.0.78",
        "lab_replicas": 2,
        "suite_file": str(results / "suite.yml"),
        "suite_dir": str(results / "suite"),
        "experiment_methods": ["baro", "nsigma"],
        "experiment_evaluate_methods": ["baro", "nsigma"],
    }
    shutil.rmtree(lab_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def lab(variables: dict[str, Any]) -> Iterator[None]:
    status, output = play("lab_up", **variables)
    if status != 0:
        play("lab_down", **variables)
        pytest.fail(f"the lab did not come up:\n{output}")
    yield
    status, output = play("uninstall", **variables)
    assert status == 0, output


@pytest.fixture(scope="module")
def planned(variables: dict[str, Any]) -> list[str]:
    """The ids of the runs, as ``--check`` shows them before there is a lab."""
    status, output = play("suite_rca", "--check", **variables)
    assert status == 0, output
    assert "3 runs (1 of them shams), 0 measured, 3 to do in about" in output
    assert not Path(variables["suite_dir"]).exists()
    return re.findall(r"^ +\d+ +(\S+/run-01) ", output, re.MULTILINE)


@pytest.fixture(scope="module")
def suite(planned: list[str], lab: None, variables: dict[str, Any]) -> Path:
    """The suite's folder, after a kill in its second run and a second start."""
    folder = Path(variables["suite_dir"])
    process = start_playbook("suite_rca", **variables)
    deadline = time.monotonic() + 300
    while not (folder / planned[1] / "load" / "requests.jsonl").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the second run never began"
        time.sleep(0.2)
    kill_tree(process.pid)
    process.communicate()
    first = folder / planned[0]
    before = (first / "case.json").stat().st_mtime_ns
    assert not (folder / planned[1] / "case.json").exists()

    status, output = play("suite_rca", **variables)

    assert status == 0, output
    assert "Run 2 of 3" in output
    assert "An earlier attempt does not count: it was stopped." in output
    assert (first / "case.json").stat().st_mtime_ns == before, "what was done was done again"
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_run_is_whole_and_the_order_stayed(suite: Path, planned: list[str]) -> None:
    assert [run["id"] for run in read(suite / "plan.json")["runs"]] == planned
    begun = {run: read(suite / run / "run.json")["begun"] for run in planned}
    assert sorted(begun, key=begun.__getitem__) == planned
    for run in planned:
        assert read(suite / run / "ground_truth.json")["outcome"] == "effective"
        assert (suite / run / "report.html").is_file()


def test_the_half_run_is_kept_apart(suite: Path, planned: list[str]) -> None:
    notes = [read(path) for path in suite.glob("quarantine/*/*/quarantine.json")]
    assert (planned[1], "unfinished") in [(note["run"], note["kind"]) for note in notes]
    assert not list((suite / "quarantine").rglob("case.json"))


def test_one_page_leads_to_all_runs_and_to_the_evaluation(suite: Path, planned: list[str]) -> None:
    page = (suite / "index.html").read_text(encoding="utf-8")
    for run in planned:
        assert f'href="{run}/report.html"' in page
    assert 'href="evaluation/leaderboard.html"' in page
    rows = read(suite / "evaluation" / "summary.json")["rows"]
    assert {row["method"] for row in rows} == {"baro", "nsigma"}
    # Two faults to find, and a sham that is nobody's fault.
    assert {row["cases"] for row in rows if row["fault"] == "*"} == {2}


def test_a_third_start_has_nothing_to_measure(suite: Path, variables: dict[str, Any]) -> None:
    status, output = play("suite_rca", **variables)
    assert status == 0, output
    assert "3 runs (1 of them shams), all measured" in output
    assert "Make room for the run" not in output


def test_another_suite_in_the_same_folder_is_refused(
    suite: Path, variables: dict[str, Any]
) -> None:
    status, output = play("suite_rca", **{**variables, "suite_file": "suites/tiny.yml"})
    assert status != 0
    assert "holds another plan" in output


def test_what_the_lab_has_not_is_refused_before_anything_is_done(
    lab: None, variables: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "bad.yml").write_text(
        yaml.safe_dump({**SUITE, "targets": ["replica/llm-9"]}), encoding="utf-8"
    )
    bad = {"suite_file": str(tmp_path / "bad.yml"), "suite_dir": str(tmp_path / "bad")}
    status, output = play("suite_rca", **{**variables, **bad})
    assert status != 0
    assert "target replica/llm-9; F12 engine_hang can be done to replica/llm-0" in " ".join(
        output.split()
    )
    assert not (tmp_path / "bad").exists()
