# SPDX-License-Identifier: Apache-2.0
"""What roles conclude from what the nodes say of themselves, and from a fault that was tried."""

from __future__ import annotations

from typing import Any

import pytest

from tests.packages.collection import cluster_roles


def nodes(*infos: tuple[str, str, str]) -> dict[str, Any]:
    """Answer as the API server does about nodes: of each the runtime, the kubelet, the kernel."""
    keys = ("containerRuntimeVersion", "kubeletVersion", "kernelVersion")
    return {
        "resources": [
            {
                "metadata": {"name": f"node-{number}"},
                "status": {"nodeInfo": dict(zip(keys, info, strict=True))},
            }
            for number, info in enumerate(infos)
        ]
    }


@pytest.mark.parametrize(
    ("runtime", "kubelet", "expected"),
    [
        (
            "containerd://2.3.2-k3s1",
            "v1.36.0+k3s1",
            "containerd /run/k3s/containerd/containerd.sock",
        ),
        (
            "containerd://2.1.5-k3s1",
            "v1.34.1+rke2r1",
            "containerd /run/k3s/containerd/containerd.sock",
        ),
        ("containerd://2.1.4", "v1.33.4+k0s", "containerd /run/k0s/containerd.sock"),
        ("containerd://2.1.4", "v1.34.0", "containerd /run/containerd/containerd.sock"),
        ("docker://28.0.1", "v1.36.0+k3s1", "docker /var/run/docker.sock"),
        ("cri-o://1.33.0", "v1.33.2", "crio /var/run/crio/crio.sock"),
    ],
)
def test_chaos_mesh_speaks_to_the_runtime_of_the_nodes(
    runtime: str, kubelet: str, expected: str
) -> None:
    asked = nodes((runtime, kubelet, "6.12.0"), (runtime, kubelet, "6.12.0"))
    found = cluster_roles.rendered("chaos_mesh", "found", _chaos_mesh_nodes=asked)
    assert found == [expected]
    [release] = cluster_roles.rendered("chaos_mesh", "releases", _chaos_mesh_nodes=asked)
    daemon = release["values"]["chaosDaemon"]
    assert f"{daemon['runtime']} {daemon['socketPath']}" == expected


def test_nodes_of_two_kinds_are_two_answers_unless_one_is_set() -> None:
    asked = nodes(
        ("containerd://2.1.4", "v1.34.0", "6.12.0"), ("cri-o://1.33.0", "v1.33.2", "6.12.0")
    )
    found = cluster_roles.rendered("chaos_mesh", "found", _chaos_mesh_nodes=asked)
    assert len(found) == 2
    chosen = {"chaos_mesh_runtime": "containerd", "chaos_mesh_socket": "/run/own.sock"}
    found = cluster_roles.rendered("chaos_mesh", "found", _chaos_mesh_nodes=asked, **chosen)
    assert found == ["containerd /run/own.sock"]


def record(name: str, injected: int, recovered: int) -> dict[str, Any]:
    failed = {"type": "Failed", "operation": "Apply", "message": "dial unix: no such file"}
    return {
        "id": name,
        "injectedCount": injected,
        "recoveredCount": recovered,
        "events": [] if injected else [failed],
    }


@pytest.mark.parametrize(
    ("records", "passed", "missing"),
    [
        ([record("a", 1, 1), record("b", 1, 1)], True, []),
        ([record("a", 1, 1), record("b", 1, 0)], False, ["b"]),
        ([record("a", 0, 0)], False, ["a"]),
        ([], False, []),
    ],
)
def test_a_probe_has_passed_when_it_began_and_ended_everywhere(
    records: list[dict[str, Any]], passed: bool, missing: list[str]
) -> None:
    probed = {"resources": [{"status": {"experiment": {"containerRecords": records}}}]}
    told = {"_chaos_mesh_probed": probed}
    assert cluster_roles.rendered("chaos_mesh", "probe_passed", **told) is passed
    assert cluster_roles.rendered("chaos_mesh", "probe_missing", **told) == missing
    errors = cluster_roles.rendered("chaos_mesh", "probe_errors", **told)
    assert errors == (["dial unix: no such file"] if any(r["events"] for r in records) else [])


def test_a_probe_that_nobody_answered_has_not_passed() -> None:
    assert cluster_roles.rendered("chaos_mesh", "probe_passed", _chaos_mesh_probed={}) is False


def test_deepflow_names_the_nodes_whose_kernel_is_too_old() -> None:
    kernels = ["3.10.0-1160.el7.x86_64", "4.14.35-1902.el7uek.x86_64", "5.10.0-30-amd64", "6.1.0"]
    asked = nodes(*(("containerd://2.1.4", "v1.34.0", kernel) for kernel in kernels))
    old = cluster_roles.rendered("deepflow", "old_nodes", _deepflow_nodes=asked)
    assert old == ["node-0 (3.10.0-1160.el7.x86_64)"]
