# SPDX-License-Identifier: Apache-2.0
"""What a fault may change of a pod, looked at without the agent's own eyes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def pod_state(cgroup: Mapping[str, Path], netns: str | None) -> dict[str, object]:
    """Return what a fault may change of a pod with cgroups of version 1."""
    memory, cpu, blkio = (cgroup[name] for name in ("memory", "cpu", "blkio"))
    pids = [int(pid) for pid in (cpu / "cgroup.procs").read_text().split()]
    inside = [] if netns is None else ["ip", "netns", "exec", netns]
    qdisc = [*inside, "tc", "qdisc", "show", "dev", "eth0"]
    return {
        "quota": (cpu / "cpu.cfs_quota_us").read_text().strip(),
        "period": (cpu / "cpu.cfs_period_us").read_text().strip(),
        "memory_limit": (memory / "memory.limit_in_bytes").read_text().strip(),
        "read_limit": (blkio / "blkio.throttle.read_bps_device").read_text().strip(),
        "write_limit": (blkio / "blkio.throttle.write_bps_device").read_text().strip(),
        "rules": chaos_rules(netns),
        "qdisc": None if netns is None else _output(*qdisc).split()[1],
        "helpers": [pid for pid in pids if _is_helper(pid)],
        "stopped": [pid for pid in pids if state_of(pid) == "T"],
    }


def _is_helper(pid: int) -> bool:
    try:
        return b"RCALAB_CHAOS=" in Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def chaos_rules(netns: str | None = None) -> list[str]:
    """Return the faults' rules in the packet filter of a namespace, or of the machine."""
    inside = [] if netns is None else ["ip", "netns", "exec", netns]
    rules = _output(*inside, "iptables-save")
    return [line for line in rules.splitlines() if "RCALAB-CHAOS" in line]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def state_of(pid: int) -> str:
    """Return the letter of a process's state, as ps shows it; empty if there is none."""
    stat = stat_of(pid)
    return stat[0] if stat else ""


def stat_of(pid: int) -> list[str]:
    """Return a process's fields of ``/proc/PID/stat`` from its state on; none if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
