# SPDX-License-Identifier: Apache-2.0
"""A cluster with a service to break, and the chaos agent as it is installed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.rcalab.llm.plugins.module_utils import kubernetes_faults
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import (
    KINDS,
    NAMESPACE,
    Api,
    Kind,
    Object,
)
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp

from tests.fake_kubernetes import FakeKubernetes
from tests.fake_kubernetes.nodes import Node
from tests.packages.kubernetes_faults.lab import SERVICE, Lab, is_running, wait_for

DEFINITION = Kind(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zipapp, as the role chaos_agent installs it."""
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    package = Path(kubernetes_faults.__file__).parent
    path.write_bytes(build_zipapp(package, "kubernetes_faults.cli:main", ["faults"]))
    return path


@pytest.fixture
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    node = Node.parse("gpu-0:cpu=64,memory=256Gi")
    with FakeKubernetes([node], operators_always=True) as fake:
        yield fake


@pytest.fixture
def definitions(test_data: Path) -> Path:
    return test_data / "schemas/crds"


@pytest.fixture(scope="session")
def operators(test_data: Path) -> list[Object]:
    """The definitions of Chaos Mesh's and KubeRay's kinds."""
    return [
        yaml.load(path.read_bytes(), yaml.CSafeLoader)
        for path in sorted((test_data / "schemas/crds").glob("*.yaml"))
        if path.name.startswith(("chaos-mesh.org", "ray.io"))
    ]


@pytest.fixture
def lab(
    agent: Path,
    fake_kubernetes: FakeKubernetes,
    kubeconfig: Path,
    operators: list[Object],
    tmp_path: Path,
) -> Iterator[Lab]:
    """Chaos Mesh, KubeRay, and a service of two replicas in the namespace llm."""
    api = Api(str(kubeconfig))
    for definition in operators:
        api.create(DEFINITION, definition)
    api.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "llm"}})
    api.create(KINDS["RayService"], SERVICE)
    lab = Lab(agent, tmp_path, api, fake_kubernetes)
    yield lab
    pid = lab.watchdog()
    if pid is not None:
        wait_for(lambda: not is_running(pid), "the watchdog's end", 20)
