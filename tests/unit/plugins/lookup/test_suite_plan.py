# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite's file and the scenarios that it names, as a person writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.rcalab.llm.plugins.lookup import suite_plan

ABOUT: dict[str, Any] = {
    "experiment": "first",
    "components": ["replica/llm-0", "replica/llm-1"],
    "isolation": "netns",
    "replicas": [2],
    "seed": 0,
    "load": {"rate_per_s": 2, "prompt_tokens": 64, "output_tokens": 32},
    "times": {
        "warmup_s": 5,
        "steady_state_s": 15,
        "baseline_s": 50,
        "fault_s": 45,
        "recovery_s": 15,
    },
}


def look_up(term: Any, **about: Any) -> dict[str, Any]:
    """Call the lookup with its options as Ansible hands them over."""
    lookup = suite_plan.LookupModule()
    # Reading them takes Ansible's registry of plugins, which a process without a playbook lacks.
    lookup.set_options = lambda **_given: None
    lookup._options = {"scenario_dirs": [], "platform": "host", **ABOUT, **about}
    (plan,) = lookup.run([term], {})
    return plan


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    (tmp_path / "suite.yml").write_text(
        "scenarios: [own, shared]\nfaults: [F01]\ntargets: [replica/llm-0]\norder: listed\n"
    )
    (tmp_path / "own.yml").write_text("baseline_s: 30\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shared.yml").write_text("description: all defaults\n")
    return tmp_path


def test_scenarios_are_found_beside_the_suite_and_where_told(suites: Path) -> None:
    plan = look_up(str(suites / "suite.yml"), scenario_dirs=[str(suites / "elsewhere")])
    assert [(run["id"], run["baseline_s"]) for run in plan["runs"]] == [
        ("own-cpu-starvation-llm-0/run-01", 30),
        ("shared-cpu-starvation-llm-0/run-01", 50),
    ]


def test_a_suite_may_be_written_out() -> None:
    plan = look_up({"scenarios": [{"name": "a", "fault": "F01", "target": "replica/llm-1"}]})
    assert plan["runs"][0]["target"] == "replica/llm-1"


def test_a_cluster_has_a_catalogue_of_its_own() -> None:
    scenario = {"name": "a", "fault": "F01", "target": "replica/llm-1"}
    here = {"platform": "kubernetes", "isolation": "kubernetes"}

    busy = {**scenario, "parameters": {"stress_workers": 2}}
    assert look_up({"scenarios": [busy]}, **here)["runs"][0]["parameters"]["stress_workers"] == 2
    limited = {**scenario, "parameters": {"cpu_limit_cores": 0.2}}
    with pytest.raises(AnsibleError, match="F01 has no parameter cpu_limit_cores"):
        look_up({"scenarios": [limited]}, **here)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("scenarios: [own, other]", "there is no scenario 'other' in .*; there are own, suite"),
        ("scenarios: [", r"suite\.yml is no YAML"),
        ("scenarios: [own]\nfaults: [F77]\n", r"suite\.yml: there is no fault 'F77'"),
        ("- own", r"suite\.yml: expected keys with values"),
    ],
)
def test_a_complaint_names_the_file(suites: Path, content: str, complaint: str) -> None:
    (suites / "suite.yml").write_text(content)
    with pytest.raises(AnsibleError, match=complaint):
        look_up(str(suites / "suite.yml"))


def test_a_complaint_about_a_scenario_names_its_file(suites: Path) -> None:
    (suites / "own.yml").write_text("baselin_s: 30\n")
    with pytest.raises(AnsibleError, match=r"own\.yml: own: unknown baselin_s"):
        look_up(str(suites / "suite.yml"))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"none\.yml can't be read"):
        look_up(str(tmp_path / "none.yml"))
