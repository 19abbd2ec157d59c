# SPDX-License-Identifier: Apache-2.0
"""Nodes as the command line names them, and what a new cluster holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import clock
from .cluster import Cluster
from .discovery import VERSION

Object = dict[str, Any]

NETWORK = "fake-kubernetes/network"

# Suffixes of quantities.
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_FACTORS |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_INFO = {
    "runtime": ("containerRuntimeVersion", "containerd://2.2.5-k3s1"),
    "kernel": ("kernelVersion", "6.12.0"),
    "os": ("osImage", "Debian GNU/Linux 12 (bookworm)"),
    "kubelet": ("kubeletVersion", str(VERSION["gitVersion"])),
}
_RESOURCES = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "200Gi", "pods": "110"}
_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class NodeError(ValueError):
    """A node that cannot be read."""


@dataclass(frozen=True)
class Node:
    """A node: resources, labels, taints and what it says of itself."""

    name: str
    resources: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    info: dict[str, str] = field(default_factory=dict)
    network: str = ""
    """The DaemonSet without which the node has no network and is not ready."""

    @classmethod
    def parse(cls, text: str) -> Node:
        """Read `NAME` or `NAME:KEY=VALUE,...`.

        Keys are `label/KEY`, `taint/KEY` (its value an effect), `runtime`, `kernel`, `os`,
        `kubelet`, `network`; every other one is a resource, such as `cpu` or `nvidia.com/gpu`.

        Raises
        ------
        NodeError
            If it is none.
        """
        name, _, settings = text.partition(":")
        resources, labels, taints, info, network = {}, {}, [], {}, ""
        for setting in filter(None, settings.split(",")):
            key, equals, value = setting.partition("=")
            if not equals:
                raise NodeError(f"{text!r}: {setting!r} is no KEY=VALUE")
            if key.startswith("label/"):
                labels[key.removeprefix("label/")] = value
            elif key.startswith("taint/"):
                taints.append({"key": key.removeprefix("taint/"), "effect": value})
            elif key in _INFO:
                info[key] = value
            elif key == "network":
                network = value
            else:
                quantity(value)
                resources[key] = value
        if not name:
            raise NodeError(f"{text!r} names no node")
        return cls(name, resources, labels, tuple(taints), info, network)

    def object(self, number: int) -> Object:
        """Return the Node object."""
        resources = _RESOURCES | self.resources
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }
        spec: Object = {"podCIDR": f"10.42.{number}.0/24"}
        if self.taints:
            spec["taints"] = list(self.taints)
        info = {field: self.info.get(key, default) for key, (field, default) in _INFO.items()}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": labels | self.labels,
                "annotations": {NETWORK: self.network} if self.network else {},
            },
            "spec": spec,
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "addresses": [
                    {"type": "InternalIP", "address": f"192.0.2.{number + 1}"},
                    {"type": "Hostname", "address": self.name},
                ],
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "False" if self.network else "True",
                        "reason": "KubeletNotReady" if self.network else "KubeletReady",
                        "message": "",
                        "lastHeartbeatTime": clock.now(),
                        "lastTransitionTime": clock.now(),
                    }
                ],
                "nodeInfo": info | {"operatingSystem": "linux", "architecture": "amd64"},
            },
        }


def quantity(text: str | int | float) -> float:
    """Return the number that a quantity such as `250m` or `16Gi` means.

    Raises
    ------
    NodeError
        If it is none.
    """
    text = str(text)
    digits = text.rstrip("KMGTkmi")
    try:
        return float(digits) * _FACTORS[text[len(digits) :]]
    except (KeyError, ValueError) as error:
        raise NodeError(f"{text!r} is no quantity such as 250m or 16Gi") from error


def populate(cluster: Cluster, nodes: list[Node]) -> None:
    """Give a new cluster its nodes and what k3s brings: namespaces, a storage class."""
    for name in _NAMESPACES:
        labels = {"kubernetes.io/metadata.name": name}
        cluster.make(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
                "spec": {"finalizers": ["kubernetes"]},
            }
        )
    for number, node in enumerate(nodes):
        cluster.make(node.object(number))
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    cluster.make(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "local-path", "annotations": default},
            "provisioner": "rancher.io/local-path",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    cluster.settle()
