# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be done is refused with the reason, before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults import processes
from ansible_collections.rcalab.llm.plugins.module_utils.faults.cgroups import CpuCgroup, CpuLimit
from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import Fault, Spec, Target
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import RefusedError
from ansible_collections.rcalab.llm.plugins.module_utils.faults.pods import (
    Pod,
    find_pod,
    load_pods,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.registry import find


def starvation(cgroup: CpuCgroup, component: str = "replica/llm-0", **values: object) -> Fault:
    pod = Pod("rcalab-test", "replica-0", component, "netns", cgroup)
    return find("F01")(Target(pod, "host"), values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"duration_s": 301}, "duration_s must be from 1 to 300, not 301"),
        ({"duration_s": float("nan")}, "duration_s must be from"),
        ({"duration_s": "45"}, "duration_s must be a number"),
        ({"duration_s": True}, "duration_s must be a number"),
        ({"cpu_limit_cores": 0}, "cpu_limit_cores must be from 0.01"),
        ({"cores": 1}, "F01 has no parameter cores; it has mechanism, cpu_limit_cores, stress"),
        ({"mechanism": "magic"}, "no mechanism 'magic'; it has cgroup_quota, duty_cycle, stress"),
    ],
)
def test_bad_parameters(fake_cgroup: CpuCgroup, values: dict[str, object], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        starvation(fake_cgroup, **values)


def test_a_component_that_is_no_pods_kind(fake_cgroup: CpuCgroup) -> None:
    with pytest.raises(RefusedError, match="only to a component of kind replica or head"):
        starvation(fake_cgroup, "telemetry/prometheus")


def test_an_unknown_fault() -> None:
    with pytest.raises(RefusedError, match="no fault 'F99'; there are F00, F01"):
        find("F99")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "JSON object"),
        ('{"fault": "F01"}', "must name one target"),
        ('{"fault": "F01", "target": ["replica/llm-0", "replica/llm-1"]}', "one at a time"),
        ('{"fault": "F01", "target": "replica/llm-0", "duration": 3}', "unknown keys: duration"),
    ],
)
def test_a_bad_spec(text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        Spec.parse(text)


def test_a_pod_that_is_limited_already(fake_cgroup: CpuCgroup) -> None:
    fake_cgroup.set_limit(CpuLimit(5_000, 50_000))

    with pytest.raises(RefusedError, match=r"limited to 0\.1 cores already"):
        starvation(fake_cgroup).preflight()


def test_a_quota_under_the_kernels_least(fake_cgroup: CpuCgroup) -> None:
    with pytest.raises(RefusedError, match=r"ask for 0\.02 or more"):
        starvation(fake_cgroup, cpu_limit_cores=0.01).preflight()


def test_a_cgroup_without_its_cpu_controller(fake_cgroup: CpuCgroup) -> None:
    fault = starvation(fake_cgroup)
    fake_cgroup.limit_file.unlink()

    with pytest.raises(RefusedError, match="CPU controller is not enabled"):
        fault.preflight()


def write_pods(path: Path, *pods: dict[str, object], isolation: str = "none") -> Path:
    path.write_text(
        json.dumps({"format": 1, "lab": "rcalab-test", "isolation": isolation, "pods": pods})
    )
    return path


PLAIN = {"name": "replica-0", "component": "replica/llm-0", "cgroup": None}


def test_a_lab_that_is_not_up(tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match="the lab is not up on this host; run the playbook lab_up"
    ):
        load_pods(tmp_path / "pods.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../x"}, "is no pod's name"),
        ({"cgroup": {"version": 2, "cpu": "/", "cpuacct": "/"}}, "wrong cgroup entry"),
    ],
)
def test_a_forged_list_of_pods(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        load_pods(write_pods(tmp_path / "pods.json", PLAIN | change))


@pytest.mark.parametrize("target", ["node/host", "client/loadgen", "telemetry/prometheus", "/"])
def test_a_target_that_is_no_pod(tmp_path: Path, target: str) -> None:
    pods = load_pods(write_pods(tmp_path / "pods.json", PLAIN))

    with pytest.raises(
        RefusedError, match="only a pod can be a target; its components are: replica"
    ):
        find_pod(pods, target)


def test_a_component_with_two_pods(tmp_path: Path) -> None:
    pods = load_pods(write_pods(tmp_path / "pods.json", PLAIN, PLAIN))

    with pytest.raises(RefusedError, match="is 2 pods"):
        find_pod(pods, "replica/llm-0")


def test_a_pod_in_which_nothing_runs(tmp_path: Path) -> None:
    pods = load_pods(write_pods(tmp_path / "pods.json", PLAIN | {"name": "nobody"}))

    with pytest.raises(RefusedError, match="nothing runs in pod"):
        find_pod(pods, "replica/llm-0")


def test_a_pod_that_holds_the_agent_itself(fake_cgroup: CpuCgroup) -> None:
    pod = Pod("rcalab-test", "replica-0", "replica/llm-0", "netns", fake_cgroup)
    assert processes.current() in pod.processes()

    with pytest.raises(RefusedError, match="holds this very process"):
        find_pod([pod], pod.component)
