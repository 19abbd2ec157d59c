# SPDX-License-Identifier: Apache-2.0
"""An experiment on a cluster: the load and Prometheus are real, the API server is played."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import POD
from ansible_play import play
from servers.http import Asked, Reply, as_text, serve
from servers.prometheus import free_port, programs, run

from rca_engine.case import Case
from rca_engine.telemetry.harvest import vocabulary
from tests.packages.kubernetes_faults.lab import COMPONENT, Lab, wait_for

pytestmark = pytest.mark.slow
SCENARIO: dict[str, Any] = {
    "name": "delay",
    "fault": "F06",
    "target": COMPONENT,
    "parameters": {"delay_ms": 200},
    "load": {"rate_per_s": 4, "prompt_tokens": 16, "output_tokens": 8},
    "warmup_s": 1,
    "steady_state_s": 4,
    "baseline_s": 10,
    "fault_s": 8,
    "recovery_s": 4,
}


def exposition(parts: dict[str, str], seconds: float) -> Iterator[str]:
    """What every component of a cluster must show; counters go up by one a second."""
    for entry in vocabulary("kubernetes")["metrics"].values():
        source = entry["source"]
        if "records" in source or not entry["required"]:
            continue
        value = 1.0 if entry["kind"] == "gauge" else seconds
        for which, component in parts.items():
            if component.partition("/")[0] in entry["components"]:
                for part in ("series", "sum", "count"):
                    for series in source.get(part, ())[-1:]:
                        marks = labels_of(source.get("job"), series) | {"component": component}
                        marks["instance" if "node" in component else "pod"] = which
                        text = ",".join(f'{key}="{label}"' for key, label in marks.items())
                        yield f"{series}{{{text}}} {value}"


def labels_of(job: str | None, series: str) -> dict[str, str]:
    """Labels as kube-prometheus scrapes them."""
    if job == "node":
        return {"job": "node-exporter"} | (
            {"mode": "user"} if series == "node_cpu_seconds_total" else {}
        )
    own = {"job": f"monitoring/{job}", "namespace": "llm"}
    shared = series.startswith("container_network")
    return own | ({"container": "main"} if job == "pod" and not shared else {})


@pytest.fixture
def telemetry(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes the cluster each second."""
    parts = {"gpu-0": "node/gpu-0"}
    for pod in lab.objects("Pod"):
        labels = pod["metadata"]["labels"]
        component = f"replica/{labels['ray.io/group']}"
        if labels["ray.io/node-type"] == "head":
            component = "head/ray"
        parts[pod["metadata"]["name"]] = component
    begin = time.monotonic()

    def page(_asked: Asked) -> Reply:
        lines = dict.fromkeys(exposition(parts, time.monotonic() - begin))
        return as_text("\n".join([*lines, ""]), 200)

    config = tmp_path / "prometheus.yml"
    with serve(page) as exporter:
        job = {
            "job_name": "cluster",
            "honor_labels": True,
            "scrape_interval": "1s",
            "static_configs": [{"targets": [exporter.removeprefix("http://")]}],
        }
        config.write_text(yaml.safe_dump({"scrape_configs": [job]}), encoding="utf-8")
        with run(programs()[0], tmp_path / "store", config) as url:
            yield url


@pytest.fixture
def service() -> Iterator[str]:
    """What the gateway would be in front of."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "loadgen", "mock", "--port", str(port), "--model", "tiny"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: _answers(f"{url}/v1/models"), "the service")
    yield url
    process.terminate()
    process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


@pytest.fixture
def variables(lab: Lab, telemetry: str, service: str, tmp_path: Path) -> dict[str, Any]:
    """What a user sets: how the service is reached, and where the telemetry is."""
    return {
        "chaos_agent_path": str(lab.agent),
        "chaos_agent_state_dir": str(lab.state),
        "experiment_cluster_file": str(lab.file),
        "experiment_url": service,
        "experiment_model": "tiny",
        "experiment_harvest": {
            "format": 1,
            "namespace": "llm",
            "scrape_interval_s": 1,
            "kubernetes": {"kubeconfig": lab.api.kubeconfig},
            "prometheus": {"url": telemetry},
        },
        "experiment_results_dir": str(tmp_path / "results"),
        "experiment_name": "cluster",
        "experiment_attempts": 1,
        "experiment_methods": ["nsigma"],
    }


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    """A cluster that is there already, and no lab on a host."""
    path = tmp_path / "hosts.yml"
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    groups = {"cluster_api": {"hosts": {"localhost": host}}}
    path.write_text(yaml.safe_dump({"all": {"children": groups}}), encoding="utf-8")
    return f"--inventory={path}"


def test_a_run_breaks_the_cluster_and_leaves_a_case(
    lab: Lab, variables: dict[str, Any], inventory: str
) -> None:
    status, output = play("experiment", inventory, experiment_scenarios=[SCENARIO], **variables)

    assert status == 0, output
    folder = Path(variables["experiment_results_dir"]) / "cluster/delay/run-01"
    truth = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
    assert truth["outcome"] == "effective"
    assert (truth["target"]["component"], truth["target"]["namespace"]) == (COMPONENT, "llm")
    assert Case.load(folder).info.platform == "kubernetes"
    assert (folder / "report.html").is_file()
    assert lab.left() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"delay_s": 1}}, "F06 has no parameter delay_s; it has mechanism"),
        ({"fault": "F14", "parameters": {}}, "there is no fault 'F14'; there are F00, F01"),
        ({"target": "replica/llm-7"}, "can be done to head/ray"),
    ],
)
def test_the_plan_is_made_of_what_the_cluster_has(
    lab: Lab, variables: dict[str, Any], inventory: str, change: dict[str, Any], says: str
) -> None:
    scenario = SCENARIO | change

    status, output = play(
        "experiment", inventory, "--check", experiment_scenarios=[scenario], **variables
    )

    assert status != 0
    assert says in output
    assert lab.left() == []


def test_a_cluster_that_is_not_whole_is_refused(
    lab: Lab, variables: dict[str, Any], inventory: str
) -> None:
    [pod] = [each for each in lab.objects("Pod") if "llm-1-worker" in each["metadata"]["name"]]
    name = pod["metadata"]["name"]
    lab.fake.follow([{"match": {"kind": "Pod", "name": name}, "never_ready": True}])
    lab.api.delete(POD, "llm", name)

    status, output = play("experiment", inventory, experiment_scenarios=[SCENARIO], **variables)

    assert status != 0
    assert f"pod {name} is not ready" in output
