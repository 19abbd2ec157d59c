# SPDX-License-Identifier: Apache-2.0
"""What a lab could leave on a machine: processes, namespaces, devices, cgroups, files, rules."""

from __future__ import annotations

import getpass
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


def _folders(lab: str) -> tuple[Path, Path]:
    """Return where a lab keeps its files, with network namespaces and without."""
    return Path("/var/lib") / lab, Path("/tmp") / f"{lab}-{getpass.getuser()}"  # noqa: S108 - a lab's


def _processes(lab: str) -> frozenset[str]:
    """Return the processes that are marked, name the lab's files, or hide both behind a title."""
    signs = ("ray::", "VLLM::", *(f"{folder}/" for folder in _folders(lab)))
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
        marked = f"RCALAB_LAB={lab}\0".encode() in environment
        if marked or any(sign in command for sign in signs):
            found.add(f"process {entry.name} {command[:60]}")
    return frozenset(found)


def _cgroups(lab: str) -> frozenset[str]:
    root = Path("/sys/fs/cgroup")
    return frozenset(f"cgroup {p}" for depth in (lab, f"*/{lab}") for p in root.glob(depth))


def _files(lab: str) -> frozenset[str]:
    # The last two are Ray's own, and what keeps Debian from starting services during the set-up.
    places = (*_folders(lab), Path("/tmp/ray"), Path("/usr/sbin/policy-rc.d"))  # noqa: S108 - Ray's
    return frozenset(f"file {place}" for place in places if place.exists())


@dataclass(frozen=True)
class Snapshot:
    """The state of a machine as far as a lab could change it."""

    things: frozenset[str]

    @classmethod
    def take(cls, lab: str = "rcalab") -> Snapshot:
        """Look at the machine now, for what bears the lab's name: others work on it too."""
        namespaces = json.loads(_run("ip", "-json", "netns", "list") or "[]")
        devices = json.loads(_run("ip", "-json", "link"))
        rules = _run("iptables-save").splitlines()
        things = [
            *(f"namespace {n['name']}" for n in namespaces if n["name"].startswith(lab)),
            *(f"device {link['ifname']}" for link in devices if link["ifname"].startswith(lab)),
            *(f"rule {line}" for line in rules if line.startswith("-A") and lab in line),
        ]
        return cls(frozenset(things) | _processes(lab) | _cgroups(lab) | _files(lab))

    def left_over(self, after: Snapshot) -> list[str]:
        """Return what is there after and was not before."""
        return sorted(after.things - self.things)
