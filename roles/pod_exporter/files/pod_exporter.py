# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve each pod's CPU, throttling, memory and network under cAdvisor's metric names.

What a pod used is read from its cgroups (version 1 or 2) and from the host's end of its veth, so
that a pod which is starved or stopped is still seen. Without cgroups (isolation ``none``) CPU and
memory are summed over the pod's processes: those that carry RCALAB_POD in their environment, and
their descendants. There is no throttling and no network of a pod then, and those series are
absent rather than 0.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LABELS = ("pod", "container")
COUNTERS = {
    "container_cpu_usage_seconds": "CPU time used, in seconds",
    "container_cpu_cfs_periods": "Quota periods in which the pod wanted to run",
    "container_cpu_cfs_throttled_periods": "Quota periods in which the pod was throttled",
    "container_cpu_cfs_throttled_seconds": "Time throttled, in seconds",
    "container_oom_events": "Processes that the kernel killed for memory",
    "container_network_receive_bytes": "Bytes received",
    "container_network_transmit_bytes": "Bytes sent",
    "container_network_receive_packets": "Packets received",
    "container_network_transmit_packets": "Packets sent",
}
GAUGES = {
    "container_spec_cpu_quota": "CPU quota a period, in microseconds; absent when unlimited",
    "container_spec_cpu_period": "Quota period, in microseconds",
    "container_memory_working_set_bytes": "Memory that cannot be reclaimed at once",
    "container_memory_rss": "Anonymous memory",
    "container_processes": "Processes",
}
Sample = dict[str, float]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def read_pairs(path: Path) -> dict[str, int]:
    """Read a cgroup file of ``name value`` lines."""
    return {
        name: int(value)
        for name, value in (line.split() for line in path.read_text(encoding="ascii").splitlines())
    }


def cpu_v1(cgroup: dict[str, str]) -> Sample:
    """Read CPU use, throttling and quota of a version 1 cgroup (times in nanoseconds there)."""
    cpu = Path(cgroup["cpu"])
    stat = read_pairs(cpu / "cpu.stat")
    quota = int((cpu / "cpu.cfs_quota_us").read_text(encoding="ascii"))
    usage = int(Path(cgroup["cpuacct"], "cpuacct.usage").read_text(encoding="ascii"))
    sample: Sample = {
        "container_cpu_usage_seconds": usage / 1e9,
        "container_cpu_cfs_periods": stat["nr_periods"],
        "container_cpu_cfs_throttled_periods": stat["nr_throttled"],
        "container_cpu_cfs_throttled_seconds": stat["throttled_time"] / 1e9,
        "container_spec_cpu_period": int((cpu / "cpu.cfs_period_us").read_text(encoding="ascii")),
    }
    return sample if quota < 0 else sample | {"container_spec_cpu_quota": quota}


def cpu_v2(cgroup: dict[str, str]) -> Sample:
    """Read CPU use, throttling and quota of a version 2 cgroup (times in microseconds there)."""
    cpu = Path(cgroup["cpu"])
    stat = read_pairs(cpu / "cpu.stat")
    quota, period = (cpu / "cpu.max").read_text(encoding="ascii").split()
    sample: Sample = {
        "container_cpu_usage_seconds": stat["usage_usec"] / 1e6,
        "container_cpu_cfs_periods": stat["nr_periods"],
        "container_cpu_cfs_throttled_periods": stat["nr_throttled"],
        "container_cpu_cfs_throttled_seconds": stat["throttled_usec"] / 1e6,
        "container_spec_cpu_period": int(period),
    }
    return sample if quota == "max" else sample | {"container_spec_cpu_quota": int(quota)}


def memory(cgroup: dict[str, Any]) -> Sample:
    """Read memory as the kubelet counts it: usage less the inactive file pages."""
    folder = Path(cgroup["memory"])
    stat = read_pairs(folder / "memory.stat")
    v1 = cgroup["version"] == 1
    usage = int(
        (folder / ("memory.usage_in_bytes" if v1 else "memory.current")).read_text(encoding="ascii")
    )
    inactive = stat["total_inactive_file" if v1 else "inactive_file"]
    events = read_pairs(folder / ("memory.oom_control" if v1 else "memory.events"))
    return {
        "container_oom_events": events["oom_kill"],
        "container_memory_working_set_bytes": max(0, usage - inactive),
        "container_memory_rss": stat["total_rss" if v1 else "anon"],
    }


def network(interface: str) -> Sample:
    """Read a pod's traffic at the host's end of its veth, where sent and received change sides."""
    folder = Path("/sys/class/net", interface, "statistics")

    def read(name: str) -> int:
        return int((folder / name).read_text(encoding="ascii"))

    return {
        "container_network_receive_bytes": read("tx_bytes"),
        "container_network_transmit_bytes": read("rx_bytes"),
        "container_network_receive_packets": read("tx_packets"),
        "container_network_transmit_packets": read("rx_packets"),
    }


def of_cgroup(pod: dict[str, Any]) -> Sample:
    """Read all that a pod's cgroups and veth tell."""
    cgroup = pod["cgroup"]
    cpu = cpu_v1(cgroup) if cgroup["version"] == 1 else cpu_v2(cgroup)
    processes = len(Path(cgroup["cpu"], "cgroup.procs").read_text(encoding="ascii").split())
    return cpu | memory(cgroup) | network(pod["interface"]) | {"container_processes": processes}


@dataclass(frozen=True)
class Process:
    """One process: what names it on this boot, whose child it is, and what it has used."""

    pid: int
    start: int
    parent: int
    pod: str | None
    cpu_s: float
    resident_bytes: int


def running(lab: str) -> dict[int, Process]:
    """Return this user's processes by id, each with the pod that its environment names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        marks = dict(
            variable.decode(errors="replace").partition("=")[::2] for variable in environment
        )
        found[int(entry.name)] = Process(
            pid=int(entry.name),
            start=int(fields[19]),
            parent=int(fields[1]),
            pod=marks.get("RCALAB_POD") if marks.get("RCALAB_LAB") == lab else None,
            cpu_s=(int(fields[11]) + int(fields[12])) / TICKS,
            resident_bytes=int(fields[21]) * PAGE,
        )
    return found


def by_pod(processes: dict[int, Process]) -> dict[str, list[Process]]:
    """Sort processes by pod: a process without a mark belongs where its parent does.

    Ray's workers and vLLM's engine core rewrite their title and wipe their mark with it.
    """
    pods: dict[str, list[Process]] = {}
    for process in processes.values():
        marked: Process | None = process
        while marked and marked.pod is None:
            marked = processes.get(marked.parent)
        if marked and marked.pod:
            pods.setdefault(marked.pod, []).append(process)
    return pods


class Usage:
    """CPU and memory of pods that have no cgroup, summed over their processes.

    A counter must not fall when a process ends: what an ended process had used is kept.
    """

    def __init__(self) -> None:
        self._used: dict[str, dict[tuple[int, int], float]] = {}
        self._ended: dict[str, float] = {}

    def read(self, pod: str, processes: list[Process]) -> Sample:
        """Return the pod's CPU seconds, resident bytes and processes."""
        used = {(process.pid, process.start): process.cpu_s for process in processes}
        before = self._used.get(pod, {})
        ended = sum(cpu_s for process, cpu_s in before.items() if process not in used)
        self._ended[pod] = self._ended.get(pod, 0.0) + ended
        self._used[pod] = used
        resident = sum(process.resident_bytes for process in processes)
        return {
            "container_cpu_usage_seconds": self._ended[pod] + sum(used.values()),
            "container_memory_working_set_bytes": resident,
            "container_memory_rss": resident,
            "container_processes": len(processes),
        }


class PodCollector(Collector):
    """Reads every pod of pods.json at each scrape."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._usage = Usage()

    def collect(self) -> Iterator[Metric]:
        """Yield one family a metric; a pod that is going away is left out of this scrape."""
        families: dict[str, Metric] = {
            n: CounterMetricFamily(n, text, labels=LABELS) for n, text in COUNTERS.items()
        }
        families |= {n: GaugeMetricFamily(n, text, labels=LABELS) for n, text in GAUGES.items()}
        lab = json.loads(self._path.read_text(encoding="utf-8"))
        processes = by_pod(running(lab["lab"])) if lab["isolation"] == "none" else {}
        for pod in lab["pods"]:
            name = pod["name"]
            try:
                sample = (
                    of_cgroup(pod)
                    if pod["cgroup"]
                    else self._usage.read(name, processes.get(name, []))
                )
            except FileNotFoundError:
                continue
            for metric, value in sample.items():
                families[metric].add_metric((name, name), value)  # type: ignore[attr-defined]
        yield from families.values()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="pod_exporter", description=__doc__.partition("\n")[0])
    parser.add_argument("--pods", type=Path, required=True, help="the lab's pods.json")
    parser.add_argument(
        "--address", default="127.0.0.1", help="where to listen (default %(default)s)"
    )
    parser.add_argument("--port", type=int, default=9101, help="port (default %(default)s)")
    options = parser.parse_args()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PodCollector(options.pods))
    start_http_server(options.port, options.address, registry)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


if __name__ == "__main__":
    main()
