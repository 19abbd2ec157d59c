# SPDX-License-Identifier: Apache-2.0
"""Every object that a fault makes fits the strict schema of its kind, and names its end."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults.catalogue_pages import (
    as_json,
    as_markdown,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import Fault
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import RefusedError
from ansible_collections.rcalab.llm.plugins.module_utils.faults.registry import faults as of
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults import catalogue
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.chaos_mesh import (
    ChaosFault,
)
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.cluster import (
    Cluster,
    ClusterPart,
    ClusterPod,
    ClusterTarget,
    component_of,
    quantity,
)

from tests.packages.collection import manifests
from tests.packages.kubernetes_faults.lab import SERVICE

ROOT = Path(__file__).resolve().parents[3]
FAULTS = list(of(catalogue).values())
CHAOS = [fault for fault in FAULTS if issubclass(fault, ChaosFault)]
MECHANISMS = [(fault, name) for fault in CHAOS for name in fault.mechanisms]
CLUSTER = Cluster("/nowhere", None, "llm", "llm")


def pod(**labels: str) -> dict[str, Any]:
    template = SERVICE["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]
    manifest = copy.deepcopy(template)
    manifest["metadata"] = {"name": "w-0", "namespace": "llm", "uid": "u-1", "labels": labels}
    manifest["spec"]["nodeName"] = "gpu-0"
    return manifest


def target_of(fault: type[Fault]) -> ClusterTarget:
    component = {"node": "node/gpu-0", "service": "service/llm"}.get(fault.kinds[0])
    if component is None:
        where: Any = ClusterPod(f"{fault.kinds[0]}/llm-0", pod())
    else:
        node = {"metadata": {"name": "gpu-0", "uid": "u-2"}, "spec": {}, "status": {}}
        where = ClusterPart(component, SERVICE if component == "service/llm" else node)
    return ClusterTarget(where, "gpu-0", cluster=CLUSTER)


def named(fault: type[Fault], mechanism: str) -> str:
    return f"{fault.id}-{mechanism}"


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "mechanism"), MECHANISMS, ids=[named(*m) for m in MECHANISMS])
def test_an_experiment_fits_its_definition_and_has_an_end(
    fault: type[ChaosFault], mechanism: str, definitions: Path
) -> None:
    made = fault(target_of(fault), {"mechanism": mechanism, "duration_s": 30})
    made.window_id = "2026-11-25T094114.123456789Z-F06"

    experiment = made.render()

    assert manifests.faults([experiment], definitions) == []
    assert experiment["spec"]["duration"].removesuffix("s").isdecimal()
    assert experiment["spec"]["selector"] == {"pods": {"llm": ["w-0"]}}
    metadata = experiment["metadata"]
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "rcalab"
    assert metadata["labels"]["rcalab.llm/window"] == "2026-11-25t094114-123456789z-f06"
    assert metadata["name"] == "rcalab-2026-11-25t094114-123456789z-f06"
    assert metadata["annotations"]["rcalab.llm/expires-at"].endswith("Z")


@pytest.mark.slow
def test_a_job_and_an_agents_pod_fit_their_kinds(definitions: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(b"x")
    cluster = dataclasses.replace(CLUSTER, node_agent=str(agent))
    known = of(catalogue)
    neighbour = known["F02"](dataclasses.replace(target_of(known["F02"]), cluster=cluster), {})
    hang = known["F12"](dataclasses.replace(target_of(known["F12"]), cluster=cluster), {})

    made = [neighbour.render("registry.example.org/ray-llm:1"), *hang.render()]

    assert manifests.faults(made, definitions) == []
    for obj in made:
        assert obj["metadata"]["labels"]["rcalab.llm/window"] == "preflight"
    assert made[0]["spec"]["activeDeadlineSeconds"] < 1000
    assert made[2]["spec"]["activeDeadlineSeconds"] < 1000
    assert made[2]["spec"]["nodeName"] == "gpu-0"


@pytest.mark.parametrize(
    ("runtime", "gpus", "sees"),
    [("nvidia", {"nvidia.com/gpu": "1"}, True), ("nvidia", {}, False), (None, {}, False)],
)
def test_an_agents_pod_sees_the_gpus_of_its_node_where_the_target_has_some(
    tmp_path: Path, runtime: str | None, gpus: dict[str, str], sees: bool
) -> None:
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(b"x")
    cluster = dataclasses.replace(CLUSTER, node_agent=str(agent), gpu_runtime=runtime)
    hang = of(catalogue)["F12"]
    target = dataclasses.replace(target_of(hang), cluster=cluster)
    target.cluster_pod.container["resources"]["limits"] |= gpus

    _given, made = hang(target, {}).render()

    [container] = made["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert made["spec"].get("runtimeClassName") == ("nvidia" if sees else None)
    assert environment.get("NVIDIA_VISIBLE_DEVICES") == ("all" if sees else None)
    assert environment.get("NVIDIA_DRIVER_CAPABILITIES") == ("utility,compute" if sees else None)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_is_the_twin_of_the_hosts_or_says_all_by_itself(fault: type[Fault]) -> None:
    on_host = of().get(fault.id)

    assert fault.platform == "kubernetes"
    assert fault.name
    assert fault.summary
    assert fault.symptoms
    assert fault.requirements
    if on_host is not None:
        assert (fault.name, fault.layer) == (on_host.name, on_host.layer)
        assert set(fault.kinds) <= {*on_host.kinds, "service"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_root_cause_metrics_are_what_a_cluster_has(fault: type[Fault]) -> None:
    schema = ROOT / "rca_engine/schemas/metrics.json"
    known = json.loads(schema.read_text(encoding="utf-8"))["metrics"]

    for mechanism in fault.mechanisms:
        causes = fault(target_of(fault), {"mechanism": mechanism}).root_causes()
        for component, metrics in causes.items():
            for name in metrics:
                assert known[name].get("platform", "kubernetes") == "kubernetes"
                assert component.partition("/")[0] in known[name]["components"]


def test_the_listing_tells_the_platform() -> None:
    listed = json.loads(as_json(FAULTS))

    assert {entry["platform"] for entry in listed} == {"kubernetes"}
    assert {"F00", "F01", "F06", "F11"} <= {entry["id"] for entry in listed}


@pytest.mark.parametrize(
    ("labels", "component"),
    [
        ({"ray.io/node-type": "head", "ray.io/group": "headgroup"}, "head/ray"),
        ({"ray.io/node-type": "worker", "ray.io/group": "llm-2"}, "replica/llm-2"),
        (
            {"app.kubernetes.io/name": "vllm", "apps.kubernetes.io/pod-index": "1"},
            "replica/llm-1",
        ),
        ({"app": "web"}, None),
    ],
)
def test_a_pods_labels_say_what_it_is(labels: dict[str, str], component: str | None) -> None:
    assert component_of(pod(**labels)) == component


def test_an_annotation_says_it_before_all_labels() -> None:
    manifest = pod(**{"ray.io/node-type": "head"})
    manifest["metadata"]["annotations"] = {"rcalab.llm/component": "gateway/nginx"}

    assert component_of(manifest) == "gateway/nginx"


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("4", 4.0), ("16Gi", 16 * 2.0**30), ("2M", 2e6)]
)
def test_a_quantity_is_a_number(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


def test_a_pod_without_a_disk_has_none_to_slow_down() -> None:
    manifest = pod()
    manifest["spec"]["volumes"] = [{"name": "models", "emptyDir": {"medium": "Memory"}}]
    where = ClusterPod("replica/llm-0", manifest)
    fault = of(catalogue)["F05"](ClusterTarget(where, "gpu-0", cluster=CLUSTER), {})

    with pytest.raises(RefusedError, match="no volume that is a disk"):
        fault.preflight()


def test_the_documented_catalogue_is_up_to_date() -> None:
    page = (ROOT / "docs/faults-kubernetes.md").read_text(encoding="utf-8")

    written = page.partition("<!-- catalogue -->\n")[2]

    assert written == as_markdown(FAULTS), "run agent.pyz list --format markdown"
