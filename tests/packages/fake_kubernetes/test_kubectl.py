# SPDX-License-Identifier: Apache-2.0
"""kubectl runs against it as against a cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.packages.fake_kubernetes.objects import WIDGETS, config_map, deployment, widget

pytestmark = pytest.mark.slow


def text(*objects: dict[str, Any]) -> str:
    return "\n---\n".join(json.dumps(obj) for obj in objects)


def test_apply_says_what_it_did(kubectl: Any) -> None:
    for how in ((), ("--server-side",)):
        name = f"one{len(how)}"
        apply = ("apply", "--filename=-", *how)
        said = [kubectl(*apply, stdin=text(config_map(name, a=value))) for value in "112"]
        done = [line.split()[1] for line in said]
        expected = ["serverside-applied"] * 3 if how else ["created", "unchanged", "configured"]
        assert done == expected
    assert kubectl("diff", "--filename=-", stdin=text(config_map("one0", a="2"))) == ""


def test_a_dry_run_of_the_server_changes_nothing(kubectl: Any) -> None:
    kubectl("apply", "--filename=-", "--dry-run=server", stdin=text(config_map()))
    assert "one" not in kubectl("get", "configmaps", "--output=name").split("/")


def test_a_rollout_is_waited_for(kubectl: Any) -> None:
    kubectl("apply", "--filename=-", stdin=text(deployment(replicas=2)))
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web")
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=10s")
    kubectl("scale", "deployment/web", "--replicas=3")
    pods = kubectl("get", "pods", "--selector=app=web", "--output=name").split()
    assert len(pods) == 3
    kubectl("delete", "deployment/web", "--wait", "--timeout=10s")
    assert kubectl("get", "pods", "--output=name") == ""


def test_a_new_kind_is_known_at_once(kubectl: Any) -> None:
    kubectl("apply", "--filename=-", stdin=text(WIDGETS))
    kubectl("wait", "--for=condition=Established", "crd/widgets.example.org", "--timeout=10s")
    kubectl("apply", "--filename=-", stdin=text(widget()))
    assert json.loads(kubectl("get", "widget", "one", "--output=json"))["spec"]["size"] == 1


def test_an_unknown_field_is_refused(kubectl: Any) -> None:
    kubectl("apply", "--filename=-", stdin=text(WIDGETS))
    with pytest.raises(AssertionError, match=r'unknown field "spec\.sise"'):
        kubectl("apply", "--filename=-", stdin=text(widget(sise=1)))


def test_a_namespace_is_gone_when_its_deletion_returns(kubectl: Any) -> None:
    kubectl("create", "namespace", "lab")
    kubectl("delete", "namespace", "lab", "--wait", "--timeout=10s")
    assert "lab" not in kubectl("get", "namespaces", "--output=name")
