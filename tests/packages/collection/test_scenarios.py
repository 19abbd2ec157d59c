# SPDX-License-Identifier: Apache-2.0
"""Every scenario and every suite that comes with the collection can be run on a lab of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.rcalab.llm.plugins.lookup.suite_plan import Scenarios, read_yaml
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.expand import (
    Defaults,
    Lab,
    expand,
)
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.suite import (
    Times,
    read_suite,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults import registry

ROOT = Path(__file__).resolve().parents[3]
COMPONENTS = (
    *("gateway/nginx", "head/ray", "replica/llm-0", "replica/llm-1", "replica/llm-2"),
    *("client/loadgen", "service/llm", "gpu/host.0"),
)


@pytest.fixture(scope="module")
def defaults() -> Defaults:
    """What the role gives to a scenario that does not say it."""
    role = yaml.safe_load((ROOT / "roles/experiment/defaults/main.yml").read_text("utf-8"))
    names = ("warmup_s", "steady_state_s", "baseline_s", "fault_s", "recovery_s")
    times = Times(**{name: role[f"experiment_{name}"] for name in names})
    return Defaults(0, {"rate_per_s": 2, "prompt_tokens": 64, "output_tokens": 32}, times)


def plan_of(data: Any, where: str, defaults: Defaults, isolation: str = "netns") -> Plan:
    suite = read_suite(data, where, Scenarios([ROOT / "scenarios"]).find)
    lab = Lab(COMPONENTS, isolation, (3,))
    return expand(suite, "test", lab, defaults, registry.faults())


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("scenarios/*.yml")))
def test_a_scenario_is_one_run(name: str, defaults: Defaults) -> None:
    plan = plan_of({"scenarios": [name]}, name, defaults)
    assert [run.id for run in plan.runs] == [f"{name}/run-01"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("suites/*.yml")), ids=lambda path: path.stem)
def test_a_suite_has_its_runs(path: Path, defaults: Defaults) -> None:
    assert plan_of(read_yaml(path), path.name, defaults).runs


def test_the_suite_of_faults_fits_into_forty_minutes(defaults: Defaults) -> None:
    path = ROOT / "suites/rca.yml"
    plan = plan_of(read_yaml(path), path.name, defaults)
    assert (len(plan.runs), sum(run.sham for run in plan.runs)) == (14, 2)
    # 25 s beside the load were what a run took on the host lab, with its harvest and diagnosis.
    assert sum(run.loaded_s + 25 for run in plan.runs) <= 40 * 60


def test_the_tiny_suite_needs_no_root(defaults: Defaults) -> None:
    path = ROOT / "suites/tiny.yml"
    assert len(plan_of(read_yaml(path), path.name, defaults, "none").runs) == 3
