# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the service's configuration: Serve is asked, shows it, and has the earlier one back."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import IDLE, LAB, Lab, wait_for
from .fake_serve import APP, BEARER, CONFIG, SERVER, FakeServe

pytestmark = pytest.mark.slow

HEAD, SERVICE = "head/ray", "service/llm"
REPLICAS = ("10.77.0.20", "10.77.0.21")
EFFECTIVE, REFUSED, CONTAMINATED = 0, 2, 5
# Fault, target, parameters, and what was measured.
FAULTS = [
    ("F15", HEAD, {"max_ongoing_requests": 2}, {"max_ongoing_requests": 2, "queued_requests": 2}),
    ("F24", SERVICE, {}, {"kv_blocks": 17, "replicas": 2}),
    ("F29", SERVICE, {}, {}),
]
each_fault = pytest.mark.parametrize(
    ("fault", "target", "parameters", "dose"), FAULTS, ids=[each[0] for each in FAULTS]
)


class ServedLab(Lab):
    """A lab on Ray Serve, with two replicas and six requests in flight."""

    def __init__(self, agent: Path, folder: Path) -> None:
        super().__init__(agent, folder, "head", None)
        self.serve = FakeServe(CONFIG, REPLICAS, in_flight=6)
        token, self.config_file = folder / "token", folder / "serve.json"
        token.write_text(f"{BEARER}\n")
        self.config_file.write_text(json.dumps(CONFIG))
        self.facts: dict[str, Any] = {
            "format": 1,
            "node": "node/host",
            "supervisor": "/nowhere",
            "service": {
                "kind": "serve",
                "url": f"{self.serve.url}/api/serve/applications/",
                "token_file": str(token),
                "config_file": str(self.config_file),
            },
            "client": {"command": ["loadgen"], "url": self.serve.url},
            "engine": {
                "model": "tiny",
                "max_model_len": 2048,
                "metrics": f"{self.serve.url}/metrics/{{address}}",
            },
            "prometheus": self.serve.url,
            "telemetry": [],
            "grafana": None,
            "deny": [],
            "faketime": {},
        }
        self.describe()
        # What runs in the pod of the head, which can be a target only then.
        self.start(IDLE)

    def describe(self, **more: object) -> None:
        """Write what the roles write of the lab, some of it changed."""
        addresses = {"head": "10.77.0.10", "replica-0": REPLICAS[0], "replica-1": REPLICAS[1]}
        components = {"head": HEAD, "replica-0": "replica/llm-0", "replica-1": "replica/llm-1"}
        pods = [
            {"name": name, "component": components[name], "address": address, "cgroup": None}
            for name, address in addresses.items()
        ]
        listed = {"format": 1, "lab": LAB, "isolation": "none", "pods": pods}
        self.pods.write_text(json.dumps(listed))
        self.pods.with_name("lab.json").write_text(json.dumps(self.facts | more))

    def is_as_before(self) -> bool:
        return self.serve.config == CONFIG and self.serve.is_whole()


@pytest.fixture
def served_lab(agent: Path, tmp_path: Path) -> Iterator[ServedLab]:
    lab = ServedLab(agent, tmp_path)
    try:
        yield lab
    finally:
        lab.close()
        lab.serve.close()


def finish(run: subprocess.Popen[str]) -> str:
    return run.communicate(timeout=90)[1]


@each_fault
def test_the_configuration_acts_and_the_earlier_one_comes_back(
    served_lab: ServedLab,
    fault: str,
    target: str,
    parameters: dict[str, object],
    dose: dict[str, float],
) -> None:
    run = served_lab.run(fault, target, confirm=target, duration_s=10, **parameters)
    err = finish(run)

    assert run.returncode == EFFECTIVE, err
    truth = served_lab.truth()
    assert dose.items() <= truth["dose"]["measured"].items()
    assert served_lab.is_as_before()
    # Asked for once each: again, and a rollout would begin anew.
    assert served_lab.serve.asked[1:] == [CONFIG]
    assert served_lab.serve.asked[0] != CONFIG
    assert served_lab.serve.starts == (0 if fault == "F15" else 2)


def test_a_bad_rollout_refuses_what_was_answered_before(served_lab: ServedLab) -> None:
    run = served_lab.run("F29", SERVICE, confirm=SERVICE, duration_s=10)
    finish(run)

    truth = served_lab.truth()
    assert truth["root_causes"] == [{"component": SERVICE, "metrics": []}]
    # One replica after the other: at first some are answered still.
    assert 0.5 < truth["dose"]["measured"]["refused_ratio"] <= 1


def test_a_small_cache_counts_for_each_replica_that_shows_it(served_lab: ServedLab) -> None:
    finish(served_lab.run("F24", SERVICE, confirm=SERVICE, duration_s=10))

    causes = {each["component"]: each["metrics"] for each in served_lab.truth()["root_causes"]}
    assert causes.keys() == {SERVICE, "replica/llm-0", "replica/llm-1"}
    assert "engine_kv_cache_usage_ratio" in causes["replica/llm-1"]


@each_fault
def test_a_killed_agent_leaves_the_earlier_configuration(
    served_lab: ServedLab,
    fault: str,
    target: str,
    parameters: dict[str, object],
    dose: dict[str, float],
) -> None:
    del dose
    run = served_lab.run(fault, target, confirm=target, duration_s=60, **parameters)
    served_lab.await_state("ACTIVE")

    run.kill()
    run.communicate()

    served_lab.await_undone(15)
    assert served_lab.is_as_before()
    assert served_lab.truth()["reverted_by"] == "watchdog"


def test_a_rollout_that_fails_is_taken_back_and_said(served_lab: ServedLab) -> None:
    served_lab.serve.fails = True

    run = served_lab.run("F24", SERVICE, confirm=SERVICE, duration_s=30)
    finish(run)

    assert run.returncode == CONTAMINATED
    message = served_lab.truth()["messages"][0]
    assert "Serve could not deploy the fault's configuration: the engine did not start" in message
    assert served_lab.is_as_before()


def test_somebody_elses_deployment_ends_the_window(served_lab: ServedLab) -> None:
    run = served_lab.run("F29", SERVICE, confirm=SERVICE, duration_s=60)
    served_lab.await_state("ACTIVE")

    other = copy.deepcopy(CONFIG)
    other["applications"][0]["args"]["llm_configs"][0]["engine_kwargs"]["max_num_seqs"] = 4
    assert served_lab.serve.deploy(other) is None
    finish(run)

    assert run.returncode == CONTAMINATED
    assert served_lab.truth()["messages"][0] == f"something else has deployed {APP} anew"
    wait_for(served_lab.is_as_before, "the earlier configuration", 5)


def _without_serve(lab: ServedLab) -> None:
    lab.describe(service={"kind": "http", "url": f"{lab.serve.url}/metrics/{{address}}"})


def _without_prometheus(lab: ServedLab) -> None:
    lab.describe(prometheus=None)


def _with_another_file(lab: ServedLab) -> None:
    other = copy.deepcopy(CONFIG)
    other["applications"][0]["deployments"] = [{"name": SERVER, "max_ongoing_requests": 8}]
    lab.config_file.write_text(json.dumps(other))


def _without_a_name(lab: ServedLab) -> None:
    other = copy.deepcopy(CONFIG)
    del other["applications"][0]["deployments"]
    lab.config_file.write_text(json.dumps(other))
    lab.serve.deploy(other)
    lab.serve.asked.clear()
    wait_for(lab.serve.is_whole, "the end of the rollout", 10)


def _with_a_rollout(lab: ServedLab) -> None:
    other = copy.deepcopy(CONFIG)
    other["applications"][0]["args"]["llm_configs"][0]["engine_kwargs"]["max_num_seqs"] = 4
    lab.config_file.write_text(json.dumps(other))
    lab.serve.holds = True
    lab.serve.deploy(other)


def _without_a_replica(lab: ServedLab) -> None:
    lab.serve.lose(REPLICAS[1])


def _with_a_wrong_token(lab: ServedLab) -> None:
    Path(lab.facts["service"]["token_file"]).write_text("wrong\n")


def _as_it_is(_lab: ServedLab) -> None:
    """Change nothing."""


# What is different, the fault, its parameters, and what the agent says.
BAD: list[tuple[Callable[[ServedLab], None], str, dict[str, object], str]] = [
    (_without_serve, "F24", {}, "this lab's service is not Ray Serve's"),
    (_with_another_file, "F29", {}, "Serve does not run what"),
    (_with_a_rollout, "F29", {}, "llm is DEPLOYING: wait until the service is whole"),
    (_without_a_replica, "F24", {}, f"no replica is ready at {REPLICAS[1]}"),
    (_with_a_wrong_token, "F24", {}, "answers 401 to GET"),
    (_without_prometheus, "F24", {}, "lab.json names no Prometheus"),
    (_as_it_is, "F24", {"kv_blocks": 16}, "kv_blocks must be 17 or more"),
    (_as_it_is, "F24", {"kv_blocks": 8192}, "the cache has 8192 blocks, and 8192 are no less"),
    (_as_it_is, "F29", {"max_model_len": 1024}, "must be less than half of 2048"),
    (_as_it_is, "F29", {"max_model_len": 8}, "max_model_len must be from 16"),
    (_without_a_name, "F15", {}, "LLMServer:tiny is not among the deployments that"),
    (_as_it_is, "F15", {"max_ongoing_requests": 32}, "32 requests a replica at most, and 32 is no"),
]


@pytest.mark.parametrize(
    ("change", "fault", "parameters", "message"),
    BAD,
    ids=[f"{each[1]}{each[0].__name__}-{number}" for number, each in enumerate(BAD)],
)
def test_what_can_not_be_done_and_undone_is_refused(
    served_lab: ServedLab,
    change: Callable[[ServedLab], None],
    fault: str,
    parameters: dict[str, object],
    message: str,
) -> None:
    change(served_lab)
    asked = list(served_lab.serve.asked)
    target = HEAD if fault == "F15" else SERVICE

    run = served_lab.run(fault, target, confirm=target, **parameters)
    err = finish(run)

    assert run.returncode == REFUSED, err
    assert message in err
    assert BEARER not in err
    assert served_lab.serve.asked == asked


@each_fault
def test_it_acts_on_all_replicas_and_so_needs_confirmation(
    served_lab: ServedLab,
    fault: str,
    target: str,
    parameters: dict[str, object],
    dose: dict[str, float],
) -> None:
    del dose
    run = served_lab.run(fault, target, **parameters)
    err = finish(run)

    assert run.returncode == REFUSED
    assert f"name its target once more as confirm, {target}" in err
    assert served_lab.serve.asked == []
