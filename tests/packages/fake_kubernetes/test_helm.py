# SPDX-License-Identifier: Apache-2.0
"""Both helms run against it as against a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_kubernetes import FakeKubernetes

pytestmark = pytest.mark.slow

INSTALL = ("--namespace=lab", "--create-namespace", "--wait", "--timeout=20s")


def values_of(core: Any, release: str) -> dict[str, Any]:
    found = core.read_namespaced_config_map(f"{release}-values", "lab")
    return json.loads(found.data["values.json"])


def test_a_release_from_its_install_to_its_end(
    helm: Any, core: Any, apps: Any, chart: Path
) -> None:
    helm("install", "first", str(chart), *INSTALL, "--set=greeting=hello,depth.is=2")
    assert values_of(core, "first") == {"greeting": "hello", "depth": {"is": 2}}
    assert apps.read_namespaced_deployment("first", "lab").status.ready_replicas == 1

    helm("upgrade", "first", str(chart), *INSTALL, "--set=greeting=goodbye")
    assert values_of(core, "first") == {"greeting": "goodbye"}
    (release,) = json.loads(helm("list", "--namespace=lab", "--output=json"))
    assert (release["revision"], release["status"]) == ("2", "deployed")

    helm("rollback", "first", "1", "--namespace=lab", "--wait", "--timeout=20s")
    assert values_of(core, "first")["greeting"] == "hello"

    helm("uninstall", "first", "--namespace=lab", "--wait", "--timeout=20s")
    assert json.loads(helm("list", "--all-namespaces", "--output=json")) == []
    assert apps.list_namespaced_deployment("lab").items == []
    assert core.list_namespaced_pod("lab").items == []


def test_a_second_upgrade_changes_no_object(
    helm: Any, fake_kubernetes: FakeKubernetes, chart: Path
) -> None:
    def objects() -> list[dict[str, str]]:
        return [o for o in fake_kubernetes.objects() if not o["name"].startswith("sh.helm.release")]

    arguments = ("upgrade", "--install", "first", str(chart), *INSTALL, "--set=a=b")
    helm(*arguments)
    before = objects()
    helm(*arguments)
    assert objects() == before


def test_definitions_of_a_chart_outlive_its_release(helm: Any, kubectl: Any, chart: Path) -> None:
    helm("install", "first", str(chart), *INSTALL)
    helm("uninstall", "first", "--namespace=lab")
    assert "gadgets.example.org" in kubectl("get", "crd", "--output=name")


def test_a_release_that_does_not_become_ready_fails(
    helm: Any, fake_kubernetes: FakeKubernetes, chart: Path
) -> None:
    rules = [{"match": {"kind": "Deployment", "name": "first"}, "never_ready": True}]
    fake_kubernetes.follow(rules)
    with pytest.raises(AssertionError, match=r"(?s)deadline|not ready|timed out"):
        helm("install", "first", str(chart), *INSTALL[:-1], "--timeout=2s")
