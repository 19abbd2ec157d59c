# SPDX-License-Identifier: Apache-2.0
"""Whole fault windows in a cluster, with the agent as it is installed, whatever goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from datetime import datetime
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import Spec
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import FaultError
from ansible_collections.rcalab.llm.plugins.module_utils.faults.registry import find
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults import (
    catalogue,
    recovery,
)
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import KINDS, POD
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.cluster import (
    find_target,
)

from tests.packages.kubernetes_faults.lab import COMPONENT, STATES, Lab, wait_for

pytestmark = pytest.mark.slow
STRESS = KINDS["StressChaos"]


def times_of(truth: dict[str, Any]) -> list[str]:
    return [truth["times"][name] for name in list(truth["times"])[:-1]]


@pytest.mark.parametrize(
    ("fault", "parameters", "dose", "least"),
    [
        ("F01", {"stress_workers": 2}, "cpu_cores", 2.0),
        ("F03", {"ballast_mib": 256}, "ballast_mib", 256.0),
        ("F06", {"delay_ms": 200}, "answer_ms", 200.0),
        ("F32", {"offset_s": -60}, "offset_s", -62.0),
    ],
)
def test_a_dose_is_seen_at_the_target_measured_and_taken_back(
    lab: Lab, fault: str, parameters: dict[str, float], dose: str, least: float
) -> None:
    truth = lab.effective(fault, duration_s=4, **parameters)

    assert truth == json.loads(lab.truth_path.read_text(encoding="utf-8"))
    assert truth["reverted_by"] == "controller"
    assert truth["target"]["namespace"] == "llm"
    assert truth["target"]["pod"].endswith("llm-0-worker-0")
    assert truth["target"]["uid"]
    assert truth["root_causes"][0]["component"] == COMPONENT
    assert truth["dose"]["measured"][dose] >= least
    assert times_of(truth) == sorted(times_of(truth))
    assert "api_server" in truth["clock_offsets_ms"]
    assert lab.states() == STATES
    assert lab.left() == []


@pytest.mark.parametrize("fault", ["F08", "F09"])
def test_a_network_that_hardly_answers_is_seen(lab: Lab, fault: str) -> None:
    truth = lab.effective(fault, duration_s=4)

    assert truth["dose"]["measured"]
    assert lab.left() == []


@pytest.mark.parametrize("fault", ["F05", "F07", "F10"])
def test_what_cannot_be_seen_at_the_target_is_said_so(lab: Lab, fault: str) -> None:
    truth = lab.effective(fault, duration_s=2)

    assert any("can't be seen at the target itself" in each for each in truth["messages"])
    assert lab.left() == []


def test_a_sham_makes_no_experiment(lab: Lab) -> None:
    run = lab.run("F00", duration_s=3)
    lab.await_state("ACTIVE")

    assert lab.objects("StressChaos") == []
    output, complaint = run.communicate(timeout=60)

    assert run.returncode == 0, complaint
    truth = json.loads(output)
    assert truth["sham"]
    assert truth["root_causes"] == []
    assert truth["times"]["effect_first_seen"] is None
    assert lab.left() == []


@pytest.mark.parametrize("mechanism", ["pod_kill"])
def test_a_killed_pod_opens_the_window_and_its_successor_closes_it(
    lab: Lab, mechanism: str
) -> None:
    before = {obj["metadata"]["uid"] for obj in lab.objects("Pod")}

    truth = lab.effective("F11", duration_s=10, mechanism=mechanism)

    assert truth["target"]["uid"] in before
    assert truth["target"]["uid"] not in {obj["metadata"]["uid"] for obj in lab.objects("Pod")}
    assert truth["dose"]["measured"]["killed_ratio"] == 1
    assert any(each.startswith("back ") for each in truth["messages"])
    assert lab.left() == []


def test_the_time_of_the_dose_is_that_of_the_records(lab: Lab) -> None:
    lab.fake.follow([{"match": {"kind": "StressChaos"}, "never_ready": True}])
    run = lab.run("F01", duration_s=3)
    lab.await_state("INJECTING")
    wait_for(lambda: lab.objects("StressChaos"), "the experiment")
    time.sleep(2)
    lab.fake.follow([])
    output, complaint = run.communicate(timeout=60)

    assert run.returncode == 0, output + complaint
    truth = json.loads(output)
    asked, applied = (
        datetime.fromisoformat(truth["times"][name]) for name in ("requested", "applied")
    )
    assert (applied - asked).total_seconds() > 2
    assert any("Chaos Mesh injected StressChaos into llm/" in each for each in truth["messages"])


def test_a_dose_that_is_never_given_is_not_effective(lab: Lab) -> None:
    lab.fake.follow([{"match": {"kind": "StressChaos"}, "never_ready": True}])
    run = lab.run("F01", duration_s=3)

    output, complaint = run.communicate(timeout=90)

    assert run.returncode == 3, complaint
    truth = json.loads(output)
    assert truth["times"]["applied"] is None
    assert "the script keeps this fault from acting" in truth["messages"][0]
    assert lab.left() == []


def test_no_target_selected_is_a_failure(lab: Lab) -> None:
    fault = find("F01", catalogue)(find_target(lab.file, Spec("F01", COMPONENT)), {})
    fault.window_id = "w1"
    actions = fault.capture()
    lab.api.delete(POD, "llm", fault.target.describe()["pod"])
    # KubeRay gives it back under the same name here; another name is what a cluster would have.
    fault.pod.manifest["metadata"]["name"] = "gone"

    fault.inject()
    missing = fault.missing_dose()

    assert missing is not None
    assert "it has selected no target" in missing
    assert "no target has been selected" in missing
    for action in actions:
        action.restore()
    assert lab.left() == []


def test_a_webhook_that_refuses_refuses_the_fault(lab: Lab) -> None:
    lab.fake.follow([{"match": {"kind": "StressChaos"}, "verbs": ["create"], "error": 500}])
    run = lab.run("F01")

    complaint = run.communicate(timeout=60)[1]

    assert run.returncode == 2
    assert "Chaos Mesh would not take the fault" in complaint
    assert lab.left() == []


@pytest.mark.parametrize(
    ("facts", "target", "says"),
    [
        ({}, "replica/llm-7", "is no pod of namespace llm"),
        ({"namespace": "kube-system"}, COMPONENT, "is not the lab's"),
        ({"deny": ["replica/*"]}, COMPONENT, "deny list"),
        ({"kubeconfig": "/nowhere"}, COMPONENT, "leads to no cluster"),
    ],
)
def test_what_may_not_be_broken_is_refused(
    lab: Lab, facts: dict[str, object], target: str, says: str
) -> None:
    lab.describe(**facts)
    run = lab.run("F01", target)

    complaint = run.communicate(timeout=60)[1]

    assert run.returncode == 2
    assert says in complaint
    assert not lab.truth_path.exists()


def test_check_mode_leaves_nothing(lab: Lab) -> None:
    run = lab.run("F06", COMPONENT, "--check")

    complaint = run.communicate(timeout=60)[1]

    assert run.returncode == 0, complaint
    assert lab.left() == []
    assert lab.states() == []


def test_an_experiment_of_others_keeps_a_fault_away(lab: Lab) -> None:
    stressors = {"cpu": {"workers": 1}}
    spec = {"mode": "one", "selector": {"namespaces": ["llm"]}, "stressors": stressors}
    lab.api.create(
        STRESS,
        {
            "apiVersion": STRESS.api_version,
            "kind": "StressChaos",
            "metadata": {"name": "by-hand", "namespace": "llm"},
            "spec": spec,
        },
    )
    run = lab.run("F06")

    complaint = run.communicate(timeout=60)[1]

    assert run.returncode == 2
    assert "StressChaos llm/by-hand is still there" in complaint


@pytest.mark.parametrize("state", ["ARMED", "INJECTING", "ACTIVE", "REVERTING"])
def test_the_watchdog_puts_back_what_a_killed_agent_leaves(lab: Lab, state: str) -> None:
    run = lab.run("F01", duration_s=20)
    if state == "REVERTING":
        lab.await_state("ACTIVE")
        run.send_signal(signal.SIGTERM)
    lab.await_state(state)
    run.kill()
    run.communicate()

    wait_for(lambda: list(lab.state.glob("windows/*/undone.json")), "the undo")

    assert lab.left() == []
    if state in ("INJECTING", "ACTIVE"):
        truth = json.loads(lab.truth_path.read_text(encoding="utf-8"))
        assert (truth["outcome"], truth["reverted_by"]) == ("aborted", "watchdog")


def test_an_experiment_ends_by_itself_when_nobody_is_left(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = find("F01", catalogue)(find_target(lab.file, Spec("F01", COMPONENT)), {})
    fault.window_id = "w1"
    monkeypatch.setattr(type(fault), "lifetime_s", 2.0)
    actions = fault.capture()
    fault.inject()
    assert fault.missing_dose() is None

    def recovered() -> bool:
        [experiment] = lab.objects("StressChaos")
        records = experiment["status"]["experiment"]["containerRecords"]
        return all(record["phase"] == "Not Injected" for record in records)

    wait_for(recovered, "the experiment's own end", 10)
    assert fault.disturbance() == "Chaos Mesh has ended the dose"
    for action in actions:
        action.restore()


def test_a_finalizer_that_hangs_is_not_called_reverted(lab: Lab) -> None:
    run = lab.run("F01", duration_s=3)
    lab.await_state("ACTIVE")
    [experiment] = lab.objects("StressChaos")
    name = experiment["metadata"]["name"]
    held = [*experiment["metadata"]["finalizers"], "example.org/hold"]
    lab.api.patch(STRESS, "llm", name, {"metadata": {"finalizers": held}})
    lab.await_state("REVERTING")
    time.sleep(3)

    assert run.poll() is None
    assert not list(lab.state.glob("windows/*/undone.json"))

    lab.api.patch(STRESS, "llm", name, {"metadata": {"finalizers": []}})
    assert run.wait(timeout=60) == 0
    assert lab.left() == []


def test_a_pod_replaced_under_the_fault_contaminates_it(lab: Lab) -> None:
    run = lab.run("F01", duration_s=20)
    lab.await_state("ACTIVE")
    [pod] = [o for o in lab.objects("Pod") if "llm-0-worker" in o["metadata"]["name"]]
    lab.api.delete(POD, "llm", pod["metadata"]["name"])

    output = run.communicate(timeout=60)[0]

    assert run.returncode == 5
    assert "was replaced under the fault" in json.loads(output)["messages"][0]
    assert lab.left() == []


def test_two_controllers_do_not_break_one_service_at_once(lab: Lab) -> None:
    first = lab.run("F01", duration_s=8)
    lab.await_state("ACTIVE")
    folder = lab.state.parent / "other"
    folder.mkdir()
    other = Lab(lab.agent, folder, lab.api, lab.fake)
    second = other.run("F06")

    complaint = second.communicate(timeout=60)[1]

    assert second.returncode == 2
    assert "an earlier fault is active or has left something" in complaint
    assert first.wait(timeout=60) == 0


def test_a_kubeconfig_is_enough_to_revert(lab: Lab) -> None:
    fault = find("F06", catalogue)(find_target(lab.file, Spec("F06", COMPONENT)), {})
    fault.window_id = "w1"
    fault.capture()
    fault.inject()
    assert len(lab.left()) == 2

    assert recovery.revert_all(lab.api) == ["w1"]
    assert lab.left() == []
    assert recovery.revert_all(lab.api) == []


def test_what_cannot_be_reverted_keeps_its_lock(lab: Lab) -> None:
    fault = find("F06", catalogue)(find_target(lab.file, Spec("F06", COMPONENT)), {})
    fault.window_id = "w1"
    fault.capture()
    fault.inject()
    chaos = KINDS["NetworkChaos"]
    name = fault.metadata()["name"]
    lab.api.patch(chaos, "llm", name, {"metadata": {"finalizers": ["example.org/hold"]}})

    with pytest.raises(FaultError, match=r"waits for example\.org/hold"):
        recovery.revert_all(lab.api, within_s=1)
    assert "rcalab-fault" in lab.left()

    lab.api.patch(chaos, "llm", name, {"metadata": {"finalizers": []}})
    recovery.revert_all(lab.api)
    assert lab.left() == []


def test_a_rollout_that_cannot_work_is_seen_and_taken_back(lab: Lab) -> None:
    [before] = lab.objects("RayService")

    truth = lab.effective("F29", "service/llm", duration_s=3)

    [after] = lab.objects("RayService")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 2
    assert truth["dose"]["measured"]["ailing"] == 1
    assert truth["root_causes"] == [
        {"component": "service/llm", "metrics": ["service_config_generation"]}
    ]


def test_a_smaller_cache_is_rolled_out_and_taken_back(lab: Lab) -> None:
    [before] = lab.objects("RayService")

    lab.effective("F24", "service/llm", duration_s=4, kv_blocks=600)

    assert lab.objects("RayService")[0]["spec"] == before["spec"]


def test_a_cache_in_which_no_request_fits_is_another_fault(lab: Lab) -> None:
    run = lab.run("F24", "service/llm", kv_blocks=16)

    assert "that would be F29" in run.communicate(timeout=60)[1]
    assert run.returncode == 2


def test_a_replica_is_lost_for_as_long_as_the_window(lab: Lab) -> None:
    run = lab.run("F30", duration_s=4)
    lab.await_state("ACTIVE")
    assert not [o for o in lab.objects("Pod") if "llm-0-worker" in o["metadata"]["name"]]

    output, complaint = run.communicate(timeout=60)

    assert run.returncode == 0, output + complaint
    assert [o for o in lab.objects("Pod") if "llm-0-worker" in o["metadata"]["name"]]


def test_the_cluster_itself_knows_how_a_change_is_undone(lab: Lab) -> None:
    [before] = lab.objects("RayService")
    run = lab.run("F29", "service/llm", duration_s=60)
    lab.kill_all(run)

    recovery.revert_all(lab.api)

    assert lab.objects("RayService")[0]["spec"] == before["spec"]
    assert lab.left() == []


def test_a_noisy_neighbour_is_a_job_on_the_node(lab: Lab) -> None:
    lab.fake.follow([{"match": {"kind": "Job"}, "never_ready": True}])

    truth = lab.effective("F02", "node/gpu-0", duration_s=4, cores=3)

    assert truth["dose"]["measured"]["cores"] >= 3
    assert truth["target"]["host"] == "gpu-0"
    assert lab.left() == []


def test_an_operator_reverts_from_the_state_directory(lab: Lab) -> None:
    run = lab.run("F06", duration_s=60)
    lab.await_state("ACTIVE")
    done = subprocess.run(lab.command("revert"), capture_output=True, text=True, check=False)

    run.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["reverted"]) == 1
    assert lab.left() == []
