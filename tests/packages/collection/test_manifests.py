# SPDX-License-Identifier: Apache-2.0
"""Every object that a role makes fits the strict schema of its kind."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.packages.collection import cluster_roles
from tests.packages.collection.manifests import faults, strict

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "one", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}
STRESS: dict[str, Any] = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "StressChaos",
    "metadata": {"name": "one", "namespace": "default"},
    "spec": {
        "mode": "all",
        "selector": {"labelSelectors": {"app": "web"}},
        "duration": "1m",
        "stressors": {"cpu": {"workers": 1, "load": 50}},
    },
}


@pytest.fixture
def definitions(test_data: Path) -> Path:
    return test_data / "schemas/crds"


@pytest.mark.slow
@pytest.mark.parametrize("right", [SERVICE, STRESS], ids=["built-in", "custom"])
def test_a_right_object_has_no_fault(right: dict[str, Any], definitions: Path) -> None:
    assert faults([right], definitions) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "path", "value", "says"),
    [
        (SERVICE, "spec.selectors", {}, "'selectors' was unexpected"),
        (SERVICE, "spec.ports", [{"port": "80"}], "'80' is not"),
        (STRESS, "spec.durationn", "1m", "'durationn' was unexpected"),
        (STRESS, "spec.mode", "some", "'some' is not one of"),
        (STRESS, "spec.stressors.memory", {"workers": 1, "time": "1s"}, "'time' was unexpected"),
        (STRESS, "spec.stressors.cpu", {"load": 50}, "'workers' is a required property"),
        (SERVICE, "kind", "Servic", "has no v1 Servic"),
        (SERVICE, "metadata", None, "lacks metadata"),
    ],
)
def test_a_planted_fault_is_found(
    right: dict[str, Any], path: str, value: Any, says: str, definitions: Path
) -> None:
    wrong = copy.deepcopy(right)
    *above, last = path.split(".")
    inner = wrong
    for step in above:
        inner = inner[step]
    inner[last] = value
    assert any(says in fault for fault in faults([wrong], definitions))


def test_a_schema_of_openapi_becomes_one_that_knows_every_field() -> None:
    schema = {
        "type": "object",
        "properties": {
            "port": {"anyOf": [{"type": "integer"}], "x-kubernetes-int-or-string": True},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "maybe": {"type": "string", "nullable": True},
        },
    }
    assert strict(schema) == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "port": {"type": ["integer", "string"], "x-kubernetes-int-or-string": True},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "maybe": {"type": ["string", "null"]},
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", cluster_roles.defined("objects"))
def test_the_objects_of_a_role_are_right(name: str, definitions: Path) -> None:
    assert faults(cluster_roles.rendered(name, "objects"), definitions) == []
