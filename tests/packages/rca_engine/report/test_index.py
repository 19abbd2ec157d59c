# SPDX-License-Identifier: Apache-2.0
"""One page leads to every run of an experiment, and tells what counts and what does not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.experiments import folder as folders
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan, Run

from rca_engine.errors import CaseError
from rca_engine.report import write_index
from rcalab_common.files import write_json

EVIL = "<script>alert(1)</script>"


def planned(name: str, fault: str | None, *, sham: bool = False) -> Run:
    return Run(
        id=f"{name}/run-01",
        scenario=name,
        repetition=1,
        seed=8,
        fault=fault,
        sham=sham,
        target="replica/llm-0" if fault else None,
        confirm=None,
        parameters={},
        load={"rate_per_s": 2},
        replicas=None,
        warmup_s=5,
        steady_state_s=15,
        baseline_s=50,
        fault_s=45,
        recovery_s=15,
    )


RUNS = (
    planned("cpu", "F01"),
    planned("sham", "F00", sham=True),
    planned("calm", None),
    planned("later", "F01"),
)


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    write_json(path, document)


@pytest.fixture
def experiment(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of four: a fault, a sham and a calm run are measured; one attempt was set aside."""
    root = tmp_path_factory.mktemp("results") / "first"
    folder = folders.Folder(root)
    # Written by its owner, read by the page: both must speak of the same thing.
    folder.adopt(Plan("first", 7, "random", RUNS), write=True)
    folder.begin(RUNS[0])
    folder.set_aside(RUNS[0], "contaminated", f"the neighbour was busy {EVIL}")
    for run in RUNS[:3]:
        shutil.copytree(run_dir, folder.path(run))
        (folder.path(run) / "report.html").touch()

    def no_dose(truth: dict[str, Any]) -> None:
        truth.update(fault="F00", name="sham", sham=True, root_causes=[])

    change(root / "sham/run-01/ground_truth.json", no_dose)
    change(root / "sham/run-01/diagnosis/baro.json", lambda each: each.update(components=[]))
    (root / "calm/run-01/ground_truth.json").unlink()
    change(root / "calm/run-01/case.json", lambda each: each.update(alert=None))
    return root


def text(experiment: Path) -> str:
    """The page's words, section by section, without markup."""
    page = write_index(experiment).read_text(encoding="utf-8")
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def section(experiment: Path, title: str) -> str:
    page = write_index(experiment).read_text(encoding="utf-8")
    found = re.search(rf"<h2[^>]*>{title}</h2>(.*?)</section>", page, re.DOTALL)
    assert found, f"no section {title}"
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


def test_a_run_is_a_row_with_truth_alert_and_first_answers(experiment: Path) -> None:
    row = section(experiment, "Runs with a fault")
    assert "cpu/run-01 CPU starvation of replica/llm-0 effective" in row
    assert row.endswith("replica/llm-0 replica/llm-0")
    page = (experiment / "index.html").read_text(encoding="utf-8")
    assert '<a href="cpu/run-01/report.html">cpu/run-01</a>' in page


def test_shams_stand_apart_and_a_name_there_is_a_false_alarm(experiment: Path) -> None:
    assert "nothing replica/llm-0" in section(experiment, "Shams")
    page = (experiment / "index.html").read_text(encoding="utf-8")
    sham = page.partition(">Shams<")[2].partition("</section>")[0]
    assert '<td class="good">nothing</td>' in sham
    assert '<td class="bad">replica/llm-0</td>' in sham


def test_totals_count_faults_and_shams_apart(experiment: Path) -> None:
    totals = section(experiment, "Methods")
    assert "baro 1 of 1 1 of 1 0 of 1 1 of 1 0 of 2" in totals
    assert "nsigma 1 of 1 1 of 1 0 of 1 0 of 1 0 of 2" in totals


def test_a_run_without_a_fault_tells_what_the_client_saw(experiment: Path) -> None:
    row = section(experiment, "Runs without a fault")
    assert "calm/run-01" in row
    assert re.search(r"\d+ \d+\.\d% [\d.,]+ / [\d.,]+ ms", row)


def test_what_is_missing_and_what_does_not_count_is_told(experiment: Path) -> None:
    assert section(experiment, "Planned and not measured") == "later/run-01"
    assert "cpu/run-01 contaminated the neighbour was busy" in section(
        experiment, "Attempts that do not count"
    )
    whole = text(experiment)
    assert "1 planned runs have no case" in whole
    assert "Measured runs 3 of 4" in whole


def test_no_text_of_a_run_becomes_markup(experiment: Path) -> None:
    change(
        experiment / "cpu/run-01/ground_truth.json",
        lambda truth: truth.update(
            name=EVIL, root_causes=[{"component": EVIL, "metrics": ["cpu_usage_cores"]}]
        ),
    )
    change(experiment / "cpu/run-01/case.json", lambda case: case.update(notes=[EVIL]))
    change(
        experiment / "cpu/run-01/diagnosis/baro.json",
        lambda each: each["components"][0].update(component=EVIL),
    )
    page = write_index(experiment).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "script-src 'none'" in page


def test_an_attempt_that_does_not_count_is_no_case_of_the_experiment(experiment: Path) -> None:
    folder = folders.Folder(experiment)
    folder.set_aside(RUNS[0], "contaminated", "found out later")
    assert "cpu/run-01" in section(experiment, "Planned and not measured")
    assert "Runs with a fault" not in (experiment / "index.html").read_text(encoding="utf-8")


def test_a_folder_of_cases_without_a_plan_has_a_page_too(experiment: Path) -> None:
    (experiment / "plan.json").unlink()
    assert "cpu/run-01" in section(experiment, "Runs with a fault")
    assert "calm/run-01" in section(experiment, "Runs whose truth is not known")


def test_a_folder_without_either_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="no experiment here"):
        write_index(tmp_path)
