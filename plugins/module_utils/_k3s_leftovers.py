# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what outlives the service of k3s on a host, found in its own files.

Containers outlive a restart of k3s on purpose, and with them their mounts and interfaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

DATA = "/var/lib/rancher/k3s"
MOUNTS = ("/run/k3s", DATA, "/var/lib/kubelet", "/run/netns/cni-")
_LINK = re.compile(r"cni0|kube-ipvs0|kube-bridge|flannel[.-].*|cilium_.*|lxc_health")
# Chains and rules of kube-proxy, the CNI's plugins, flannel and Cilium.
_RULE = re.compile(r"KUBE-|CNI-|CILIUM_|flannel", re.IGNORECASE)


def container_processes(proc: Path, data: str = DATA) -> list[int]:
    """List the shims of k3s' containerd and all that they have started.

    Parameters
    ----------
    proc
        ``/proc``, or what stands for it.
    data
        k3s' own folder: a shim is a program in it.
    """
    parents: dict[int, int] = {}
    shims = set()
    for folder in proc.glob("[0-9]*"):
        try:
            pid = int(folder.name)
            # The name in brackets may hold anything; the parent is the second word behind it.
            after_name = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2]
            parents[pid] = int(after_name.split()[1])
            program = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if program.startswith(f"{data}/data/") and "/containerd-shim" in program:
            shims.add(pid)
    return sorted(pid for pid in parents if _descends(pid, shims, parents))


def _descends(pid: int, ancestors: set[int], parents: dict[int, int]) -> bool:
    while pid in parents:
        if pid in ancestors:
            return True
        pid = parents[pid]
    return False


def mounts_of(mounts: str) -> list[str]:
    """List k3s' mount points in the text of ``/proc/self/mounts``, the innermost first."""
    points = [line.split()[1] for line in mounts.splitlines()]
    found = [_unescape(point) for point in points if _is_below(_unescape(point))]
    return found[::-1]


def _unescape(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)


def _is_below(point: str) -> bool:
    return any(
        point == mark or point.startswith(mark if mark.endswith("-") else f"{mark}/")
        for mark in MOUNTS
    )


def links_of(names: Iterable[str]) -> list[str]:
    """List the interfaces that k3s and its networks make."""
    return sorted(name for name in names if _LINK.fullmatch(name))


def rules_without(saved: str) -> str:
    """Return what ``iptables-save`` wrote without the rules of Kubernetes."""
    return "".join(line for line in saved.splitlines(keepends=True) if not _RULE.search(line))


def network_namespaces(folder: Path = Path("/run/netns")) -> list[str]:
    """List the files of the CNI's network namespaces."""
    return sorted(str(path) for path in folder.glob("cni-*"))
