# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite becomes its runs: all of them, once, in an order that the seed alone decides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.experiments import plan as plans
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.errors import ExperimentError
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.expand import Lab
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan

COLLECTIONS = Path(plans.__file__).parents[6]


def ids(plan: Plan) -> list[str]:
    return [run.id for run in plan.runs]


def test_every_fault_meets_every_target_as_often_as_asked(plan: Plan) -> None:
    assert Counter((run.fault, run.target) for run in plan.runs) == {
        ("F01", "replica/llm-0"): 2,
        ("F01", "replica/llm-1"): 2,
        ("F06", "replica/llm-0"): 2,
        ("F06", "replica/llm-1"): 2,
        ("F00", "replica/llm-0"): 1,
        ("F00", "replica/llm-1"): 1,
    }
    assert len(set(ids(plan))) == 10


def test_a_run_is_told_apart_by_its_name(plan: Plan) -> None:
    assert {
        "cpu-starvation-llm-0/run-01",
        "network-delay-llm-1/run-02",
        "sham-llm-0/run-01",
    } <= set(ids(plan))


def test_each_repetition_goes_through_everything_once_with_a_sham_among_it(plan: Plan) -> None:
    for block in (plan.runs[:5], plan.runs[5:]):
        assert len({run.scenario for run in block}) == 5
        assert sum(run.sham for run in block) == 1


def test_the_seed_decides_the_order(make_plan: Any) -> None:
    assert ids(make_plan()) == ids(make_plan())
    assert ids(make_plan()) != ids(make_plan(seed=2))
    assert ids(make_plan()) != ids(make_plan(order="listed"))
    # Held to a value: a plan of last year is found again.
    assert ids(make_plan())[0] == "network-delay-llm-1/run-01"


def test_the_order_does_not_depend_on_where_things_stand_in_the_file(make_plan: Any) -> None:
    faults = [{"fault": "F06", "parameters": {"delay_ms": 500}}, "F01"]
    turned = make_plan(targets=["replica/llm-1", "replica/llm-0"], faults=faults)
    assert [run.id for run in turned.runs if not run.sham] == [
        run.id for run in make_plan().runs if not run.sham
    ]


def test_the_order_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from conftest import make; "
        "print(json.dumps([run.id for run in make().runs]))"
    )
    orders = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code, str(Path(__file__).parent)],
                env={
                    **os.environ,
                    "PYTHONHASHSEED": seed,
                    "PYTHONPATH": os.pathsep.join([str(COLLECTIONS), *sys.path]),
                },
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for seed in ("1", "2")
    ]
    assert orders[0] == orders[1]


def test_more_repetitions_leave_the_earlier_runs_in_their_place(make_plan: Any) -> None:
    assert ids(make_plan(repetitions=4, shams=4))[:10] == ids(make_plan())


def test_as_listed_is_as_written(make_plan: Any) -> None:
    listed = make_plan(
        order="listed", faults=None, targets=None, shams=None, scenarios=["calm", {"name": "b"}]
    )
    assert ids(listed) == ["calm/run-01", "b/run-01", "calm/run-02", "b/run-02"]


def test_runs_of_a_repetition_share_their_load(plan: Plan) -> None:
    assert {run.seed for run in plan.runs if run.repetition == 1} == {2}
    assert {run.seed for run in plan.runs if run.repetition == 2} == {3}


def test_a_scenario_gets_what_it_does_not_say(make_plan: Any) -> None:
    (run,) = make_plan(
        repetitions=1,
        faults=None,
        targets=None,
        shams=None,
        scenarios=[
            {
                "name": "mine",
                "fault": "F01",
                "target": "head/ray",
                "baseline_s": 30,
                "load": {"output_tokens": 8},
            }
        ],
    ).runs
    assert (run.baseline_s, run.fault_s) == (30, 45)
    assert run.load == {"rate_per_s": 2.0, "prompt_tokens": 64, "output_tokens": 8}
    assert run.parameters["duration_s"] == 45


def test_a_fault_of_its_own_length_sets_the_length_of_its_run(make_plan: Any) -> None:
    long = {"fault": "F01", "parameters": {"duration_s": 80}}
    assert {run.fault_s for run in make_plan(faults=[long], shams=None).runs} == {80}


def test_a_fault_that_reaches_far_is_run_where_its_target_is_named_twice(make_plan: Any) -> None:
    twice = {"fault": "F14", "confirm": "head/ray"}
    plan = make_plan(faults=[twice], targets=["head/ray"], shams=None)
    assert {run.confirm for run in plan.runs} == {"head/ray"}


def test_another_shape_replaces_the_rate(make_plan: Any) -> None:
    plan = make_plan(scenarios=[{"name": "users", "load": {"closed": {"users": 4}}}])
    assert plan.runs[0].load == {
        "closed": {"users": 4},
        "prompt_tokens": 64,
        "output_tokens": 32,
    }


def test_a_lab_runs_the_sizes_that_it_can_have_and_names_the_others(make_plan: Any) -> None:
    smoke = {"faults": None, "targets": None, "shams": None, "repetitions": 1}
    plan = make_plan(replicas=[1, 2, 3, 4], **smoke)
    assert ids(plan) == ["short-replicas-2/run-01"]
    assert plan.notes == ("not run with 1, 3, 4 replicas: this lab serves with 2",)
    cluster = Lab((), "netns", (1, 2, 3, 4))
    assert [
        run.replicas
        for run in make_plan(lab=cluster, order="listed", replicas=[1, 4], **smoke).runs
    ] == [1, 4]


def test_a_target_may_be_left_out_where_there_is_only_one(make_plan: Any) -> None:
    head = {"fault": "F14", "confirm": "head/ray"}

    plan = make_plan(faults=[head], targets=None, shams=None)

    assert [(run.fault, run.target) for run in plan.runs] == [("F14", "head/ray")] * 2


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"faults": ["F99"]}, r"no fault 'F99'; there are F00, F01"),
        ({"targets": ["replica/llm-7"]}, r"target replica/llm-7; F01 .* replica/llm-0"),
        ({"faults": ["F12"], "targets": ["head/ray"]}, "F12 engine_hang can be done to replica"),
        (
            {"faults": [{"fault": "F01", "parameters": {"cores": 1}}]},
            "F01 has no parameter cores; it has mechanism, cpu_limit_cores",
        ),
        (
            {"faults": [{"fault": "F01", "parameters": {"cpu_limit_cores": 0}}]},
            "cpu_limit_cores must be from 0.01 to 64",
        ),
        (
            {"faults": [{"fault": "F01", "parameters": {"mechanism": "magic"}}]},
            "no mechanism 'magic'",
        ),
        ({"faults": ["F01", "F01"]}, "would be called cpu-starvation-llm-0"),
        ({"targets": None, "shams": None}, "no target; F01"),
        ({"targets": None}, "shams need targets"),
        ({"faults": None}, "short has no fault, so it needs no target"),
        ({"limit_minutes": 10}, r"10 runs take about 26 min, and limit_minutes is 10"),
        ({"scenarios": None}, "no scenarios"),
        ({"repetitions": 0}, "repetitions must be a whole number from 1 on, not 0"),
        ({"repetition": 2}, "unknown repetition; there are .*repetitions"),
        ({"order": "any"}, "order must be random or listed"),
        ({"scenarios": [{"name": "Übel"}]}, "a name must be lower-case letters"),
        ({"scenarios": [{"name": "quarantine"}]}, "and not evaluation or quarantine"),
        (
            {"scenarios": [{"name": "a", "load": {"rate": 2}}]},
            "the load has no rate; it has rate_per_s",
        ),
        (
            {"scenarios": [{"name": "a", "load": {"rate_per_s": 2, "curve": "x"}}]},
            "can't have rate_per_s and curve at once",
        ),
        (
            {"scenarios": [{"name": "a", "target": "head/ray"}]},
            "a target or parameters, and no fault",
        ),
        ({"scenarios": [{"name": "a", "fault": "F01"}]}, r"a has a fault of its own \(F01\)"),
        (
            {"faults": ["F14"], "targets": ["head/ray"]},
            r"F14 .* acts on more than one pod: .*\(confirm: head/ray\)",
        ),
        ({"replicas": [3]}, "replicas 3, and this lab serves with 2"),
    ],
)
def test_what_cannot_be_run_is_refused(make_plan: Any, changes: Any, complaint: str) -> None:
    with pytest.raises(ExperimentError, match=complaint):
        make_plan(**changes)


def test_a_fault_that_the_isolation_rules_out_is_refused(make_plan: Any) -> None:
    lab = Lab(("replica/llm-0", "replica/llm-1"), "none", (2,))
    with pytest.raises(ExperimentError, match="F06 can't be done with lab_isolation=none: Root"):
        make_plan(lab=lab)
