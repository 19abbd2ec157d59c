# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever comes after a kill finds by looking what is done, and does the rest in the same order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.errors import ExperimentError
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.folder import (
    Folder,
    is_complete,
)
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan, Run
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.progress import (
    Progress,
    table,
)

Leave = Callable[..., None]
BEFORE = "2026-11-25T03:59:30.000000000Z"


# the plan


def test_the_plan_is_kept_and_read_again(folder: Folder, plan: Plan) -> None:
    assert folder.plan() == plan
    assert not folder.adopt(plan, write=True)


def test_check_mode_keeps_nothing(tmp_path: Path, plan: Plan) -> None:
    assert Folder(tmp_path / "new").adopt(plan, write=False)
    assert not (tmp_path / "new").exists()


def test_a_plan_may_grow_at_its_end(folder: Folder, fault_run: Run, make_plan: Any) -> None:
    folder.begin(fault_run)
    assert folder.adopt(make_plan(repetitions=4, shams=4), write=True)
    assert len(folder.plan().runs) == 20
    # The smaller plan of before asks for nothing new, and takes nothing away.
    assert not folder.adopt(make_plan(), write=True)
    assert len(folder.plan().runs) == 20


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 2}, "its seed is 1, and now 2"),
        (
            {"faults": ["F01", {"fault": "F06", "parameters": {"delay_ms": 400}}]},
            "has parameters .*500.*400",
        ),
        ({"targets": ["replica/llm-0"]}, "its run 1 is network-delay-llm-1/run-01, and now"),
    ],
)
def test_another_plan_is_refused_once_a_run_was_begun(
    folder: Folder, fault_run: Run, make_plan: Any, changes: Any, difference: str
) -> None:
    other = make_plan(**changes)
    assert folder.adopt(make_plan(), write=True) is False
    folder.begin(fault_run)
    with pytest.raises(ExperimentError, match=difference):
        folder.adopt(other, write=True)


def test_a_plan_of_which_nothing_was_begun_binds_nobody(folder: Folder, make_plan: Any) -> None:
    assert folder.adopt(make_plan(seed=2), write=True)
    assert folder.plan().seed == 2


def test_a_broken_plan_is_no_plan(folder: Folder) -> None:
    (folder.root / "plan.json").write_text("{", encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"plan\.json: not a plan"):
        folder.plan()


# killed at each step of a run


def begun(folder: Folder, run: Run, **_leave: Leave) -> None:
    folder.begin(run)


def loaded(folder: Folder, run: Run, measure: Leave, **_leave: Leave) -> None:
    folder.begin(run)
    measure(folder.path(run))


def half_harvested(folder: Folder, run: Run, measure: Leave, **_leave: Leave) -> None:
    loaded(folder, run, measure)
    (folder.path(run) / "metrics.parquet").write_bytes(b"ro")
    (folder.path(run) / "manifest.json").write_text('{"files": {}}', encoding="utf-8")


def judged_and_not_moved(folder: Folder, run: Run, measure: Leave, **_leave: Leave) -> None:
    loaded(folder, run, measure)
    note = {"format": 1, "run": run.id, "kind": "contaminated", "reason": "busy"}
    (folder.path(run) / "quarantine.json").write_text(json.dumps(note), encoding="utf-8")


@pytest.mark.parametrize("killed", [begun, loaded, half_harvested, judged_and_not_moved])
def test_a_half_run_is_set_aside_and_done_again(
    folder: Folder, plan: Plan, measure: Leave, harvest: Leave, killed: Leave
) -> None:
    first, second, *rest = plan.runs
    folder.begin(first)
    harvest(folder.path(first))
    killed(folder, second, measure=measure, harvest=harvest)

    progress = Progress.of(folder, plan)
    assert progress.states[second.id] == "half"
    assert progress.left == [second, *rest]

    aside = folder.begin(second)
    assert aside is not None
    assert aside.path == folder.root / "quarantine" / second.scenario / "run-01.1"
    assert (aside.path / "run.json").exists()
    assert sorted(path.name for path in folder.path(second).iterdir()) == ["run.json"]
    assert not list((folder.root / "quarantine").rglob("case.json"))
    harvest(folder.path(second))
    assert Progress.of(folder, plan).left == rest


def test_a_kill_between_judgement_and_move_keeps_the_judgement(
    folder: Folder, fault_run: Run, measure: Leave
) -> None:
    judged_and_not_moved(folder, fault_run, measure)
    aside = folder.begin(fault_run)
    assert (aside.kind, aside.reason) == ("contaminated", "busy")


def test_a_measured_run_is_diagnosed_and_not_measured_again(
    folder: Folder, plan: Plan, fault_run: Run, harvest: Leave, diagnose: Leave
) -> None:
    folder.begin(fault_run)
    harvest(folder.path(fault_run))
    progress = Progress.of(folder, plan, ["baro"])
    assert progress.states[fault_run.id] == "undiagnosed"
    assert fault_run not in progress.left
    diagnose(folder.path(fault_run))
    assert folder.state(fault_run, ["baro"]) == "done"
    assert folder.state(fault_run, ["baro", "nsigma"]) == "undiagnosed"


@pytest.mark.parametrize("damage", ["metrics.parquet", "case.json", "manifest.json"])
def test_a_case_that_is_not_whole_does_not_count(
    folder: Folder, fault_run: Run, harvest: Leave, damage: str
) -> None:
    folder.begin(fault_run)
    path = folder.path(fault_run)
    harvest(path)
    assert is_complete(path)
    (path / damage).write_bytes(b"other")
    assert not is_complete(path)
    (path / damage).unlink()
    assert folder.state(fault_run) == "half"


# the judgement


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ({}, None),
        ({"breach": None}, None),
        ({"breach": "2026-11-25T03:59:58.500000000Z"}, None),  # requests in flight when it came
        ({"breach": BEFORE}, f"SLO was broken at {BEFORE}, before the fault"),
        ({"outcome": "not_effective"}, "its fault was not effective: the pod died"),
        ({"outcome": "contaminated"}, "its fault was contaminated"),
        ({"interrupted": True}, "its load was ended before its time"),
    ],
)
def test_a_run_counts_if_its_fault_may_have_done_what_it_shows(
    folder: Folder, fault_run: Run, measure: Leave, left: Any, reason: str | None
) -> None:
    folder.begin(fault_run)
    measure(folder.path(fault_run), **left)
    found = folder.contamination(fault_run, in_flight_s=4)
    assert (found is None) if reason is None else (reason in found)


def test_what_breaks_in_a_sham_is_what_it_is_there_to_show(
    folder: Folder, sham_run: Run, measure: Leave
) -> None:
    folder.begin(sham_run)
    measure(folder.path(sham_run), breach=BEFORE)
    assert folder.contamination(sham_run, in_flight_s=4) is None


def test_a_run_without_a_fault_has_nothing_to_be_blamed(
    folder: Folder, fault_run: Run, measure: Leave
) -> None:
    plain = replace(fault_run, fault=None, target=None)
    folder.begin(plain)
    measure(folder.path(plain), breach=BEFORE)
    (folder.path(plain) / "ground_truth.json").unlink()
    assert folder.contamination(plain, in_flight_s=4) is None


def test_a_run_without_records_is_no_judgement(folder: Folder, fault_run: Run) -> None:
    folder.begin(fault_run)
    with pytest.raises(ExperimentError, match="the load did not end"):
        folder.contamination(fault_run, in_flight_s=4)


def test_each_attempt_that_does_not_count_is_kept_and_holds_no_case(
    folder: Folder, fault_run: Run, harvest: Leave
) -> None:
    for _time in range(2):
        folder.begin(fault_run)
        harvest(folder.path(fault_run))
        folder.set_aside(fault_run, "contaminated", "busy")
    assert [attempt.path.name for attempt in folder.quarantine()] == ["run-01.1", "run-01.2"]
    assert not list(folder.root.rglob("case.json"))
    assert folder.state(fault_run) == "todo"


# what a person is told


def test_a_person_reads_what_is_done_and_how_long_the_rest_takes(
    folder: Folder, plan: Plan, harvest: Leave
) -> None:
    first = plan.runs[0]
    folder.begin(first)
    harvest(folder.path(first))
    progress = Progress.of(folder, plan)
    # Nothing took time here beside the load, which there was none of.
    assert progress.seconds_left == sum(run.loaded_s for run in plan.runs[1:])
    lines = table(progress)
    assert len(lines) == 11
    assert lines[1].split() == ["1", first.id, first.fault, first.target, "130", "diagnose"]
    assert "10 runs (2 of them shams), 1 measured, 9 to do in about 20 min" in progress.summary()
    assert progress.before(plan.runs[1], 2).startswith(f"Run 2 of 10: {plan.runs[1].id} (")
    assert ", attempt 2)" in progress.before(plan.runs[1], 2)
