# SPDX-License-Identifier: Apache-2.0
"""The real Python client of a fake cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.dynamic import DynamicClient

from tests.fake_kubernetes.charts import Chart
from tests.packages.fake_kubernetes.objects import WIDGETS


@pytest.fixture
def api(kubeconfig: Path) -> Iterator[kubernetes.client.ApiClient]:
    """The generated client."""
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as client:
        yield client


@pytest.fixture
def core(api: kubernetes.client.ApiClient) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(api)


@pytest.fixture
def apps(api: kubernetes.client.ApiClient) -> kubernetes.client.AppsV1Api:
    return kubernetes.client.AppsV1Api(api)


@pytest.fixture
def dynamic(api: kubernetes.client.ApiClient, tmp_path: Path) -> DynamicClient:
    """The client that knows kinds by asking, as Ansible's does."""
    return DynamicClient(api, cache_file=str(tmp_path / "discovery.json"))


@pytest.fixture
def widgets(dynamic: DynamicClient) -> Any:
    """The resource of a custom kind that has just been defined."""
    definitions = dynamic.resources.get(
        api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
    )
    definitions.create(body=WIDGETS)
    return dynamic.resources.get(api_version="example.org/v1", kind="Widget")


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A stand-in chart that brings a custom kind."""
    brings = {"definitions": ["example.org/v1 Gadget"]}
    return Chart("tiny", "1.2.3", brings).write(tmp_path)
