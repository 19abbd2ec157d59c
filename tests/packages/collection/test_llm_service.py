# SPDX-License-Identifier: Apache-2.0
"""Each model is served on Kubernetes by either backend, as the strict schemas want it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tests.packages.collection import cluster_roles
from tests.packages.collection.manifests import faults

ROLE = cluster_roles.ROLES / "llm_service"
MODELS = sorted(path.stem for path in (ROLE / "vars/models").glob("*.yml"))
BACKENDS = ("ray_serve", "vllm")
NAMED_BY_THE_PROJECT = {
    "falcon-2-11b",
    "falcon-h1-7b-instruct",
    "gemma-2-9b",
    "llama-3.1-8b-instruct",
    "mistral-7b-instruct-v0.3",
    "phi-4",
    "qwen-2.5-7b-instruct",
}


def objects(model: str, backend: str, **settings: Any) -> list[dict[str, Any]]:
    """Return what the role puts on a cluster."""
    variables = cluster_roles.variables("llm_service")
    for name in (f"models/{model}", f"kubernetes_{backend}"):
        path = str(ROLE / "vars" / f"{name}.yml")
        variables |= DataLoader().load_from_file(path, trusted_as_template=True)
    variables |= {"llm_service_platform": "kubernetes", "llm_service_model": model, **settings}
    found = Templar(DataLoader(), variables).template(variables["_llm_service_objects"])
    plain: list[dict[str, Any]] = json.loads(json.dumps(found))
    return plain


def serve_config(service: dict[str, Any]) -> dict[str, Any]:
    """Return what Serve is asked for of the one model."""
    application = json.loads(service["spec"]["serveConfigV2"])["applications"][0]
    config: dict[str, Any] = application["args"]["llm_configs"][0]
    return config


def test_every_model_of_the_project_is_described() -> None:
    assert set(MODELS) >= NAMED_BY_THE_PROJECT


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_makes_right_objects(model: str, backend: str, test_data: Path) -> None:
    made = objects(model, backend, llm_service_token_secret="hub", llm_service_quantization="fp8")
    assert faults(made, test_data / "schemas/crds") == []


def test_parallelism_is_what_serve_and_the_pods_get() -> None:
    (service,) = objects(
        "phi-4",
        "ray_serve",
        llm_service_replicas=2,
        llm_service_tensor_parallel_size=2,
        llm_service_pipeline_parallel_size=2,
        llm_service_placement_strategy="SPREAD",
    )
    config = serve_config(service)
    assert config["deployment_config"]["num_replicas"] == 2
    assert config["engine_kwargs"]["tensor_parallel_size"] == 2
    assert config["engine_kwargs"]["pipeline_parallel_size"] == 2
    assert config["placement_group_config"] == {
        "strategy": "SPREAD",
        "bundles": [{"GPU": 1, "CPU": 1}] * 4,
    }
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert [group["groupName"] for group in groups] == ["llm-0", "llm-1"]
    for group in groups:
        container = group["template"]["spec"]["containers"][0]
        assert group["numOfHosts"] == 4
        assert int(container["resources"]["limits"]["nvidia.com/gpu"]) == 1


def test_one_pod_holds_the_gpus_that_are_packed() -> None:
    (service,) = objects("phi-4", "ray_serve", llm_service_tensor_parallel_size=4)
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    container = group["template"]["spec"]["containers"][0]
    assert group["numOfHosts"] == 1
    assert int(container["resources"]["limits"]["nvidia.com/gpu"]) == 4


def test_vllm_gets_its_options_as_flags() -> None:
    made = objects(
        "gemma-2-9b",
        "vllm",
        llm_service_max_model_len=4096,
        llm_service_engine_kwargs={"enable_prefix_caching": False, "limit_mm_per_prompt": {"a": 1}},
    )
    (server,) = [each for each in made if each["kind"] == "StatefulSet"]
    arguments = server["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--model=google/gemma-2-9b-it" in arguments
    assert "--served-model-name=gemma-2-9b" in arguments
    assert "--max-model-len=4096" in arguments
    assert "--no-enable-prefix-caching" in arguments
    assert '--limit-mm-per-prompt={"a": 1}' in arguments


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_volume_with_the_model_asks_no_hub(backend: str) -> None:
    volume = {"persistentVolumeClaim": {"claimName": "models"}}
    text = json.dumps(objects("phi-4", backend, llm_service_model_volume=volume))
    assert "/models/phi-4" in text
    assert '{"name": "HF_HUB_OFFLINE", "value": "1"}' in text
    assert "microsoft/phi-4" not in text
