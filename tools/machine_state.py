# SPDX-License-Identifier: Apache-2.0
"""What a lab could leave on a machine: processes, namespaces, devices, cgroups, files, rules."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


def _run(*arguments: str) -> str:
    try:
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        # The tool is not on this machine, and so nothing was made with it.
        return ""


def _processes() -> frozenset[str]:
    """Return the marked processes, and any whose program is one that a lab runs."""
    programs = (
        "ray::",
        "raylet",
        "gcs_server",
        "VLLM::",
        "supervisord",
        "nginx",
        "prometheus",
        "pod_exec",
        "agent.pyz",
    )
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (
                (entry / "cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
            environment = (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if b"RCALAB_POD=" in environment or any(program in command for program in programs):
            found.add(f"process {entry.name} {command[:60]}")
    return frozenset(found)


def _cgroups() -> frozenset[str]:
    root = Path("/sys/fs/cgroup")
    return frozenset(
        f"cgroup {p}" for depth in ("*", "*/*") for p in root.glob(depth) if p.is_dir()
    )


def _files() -> frozenset[str]:
    folders = (Path("/var/lib"), Path("/tmp"), Path("/run"), Path("/usr/sbin/policy-rc.d"))  # noqa: S108 - where a lab writes
    own = [
        p
        for folder in folders
        if folder.is_dir()
        for p in folder.iterdir()
        if p.name.startswith("rcalab") or p.name == "ray"
    ]
    return frozenset(f"file {p}" for p in own)


@dataclass(frozen=True)
class Snapshot:
    """The state of a machine as far as a lab could change it."""

    things: frozenset[str]

    @classmethod
    def take(cls) -> Snapshot:
        """Look at the machine now."""
        namespaces = {
            f"namespace {n['name']}"
            for n in json.loads(_run("ip", "-json", "netns", "list") or "[]")
        }
        devices = {f"device {link['ifname']}" for link in json.loads(_run("ip", "-json", "link"))}
        rules = {
            f"rule {line}" for line in _run("iptables-save").splitlines() if line.startswith("-A")
        }
        return cls(frozenset(namespaces | devices | rules) | _processes() | _cgroups() | _files())

    def left_over(self, after: Snapshot) -> list[str]:
        """Return what is there after and was not before."""
        return sorted(after.things - self.things)
