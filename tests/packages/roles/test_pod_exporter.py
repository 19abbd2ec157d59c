# SPDX-License-Identifier: Apache-2.0
"""The pod exporter says of a pod what its cgroups, its veth or its processes say."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import CollectorRegistry

SOURCE = Path(__file__).resolve().parents[3] / "roles/pod_exporter/files/pod_exporter.py"
LAB = f"exp{os.getpid() % 10000}"
WORK = "import sys, time\nwhile time.process_time() < 0.1: pass\n"
Value = Callable[[str], float | None]


@pytest.fixture(scope="module")
def exporter() -> ModuleType:
    """The role's file, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("pod_exporter", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


def cgroup_v1(folder: Path, quota: int) -> dict[str, object]:
    write(
        folder,
        cpu__stat="nr_periods 100\nnr_throttled 40\nthrottled_time 2500000000\n",
        cpu__cfs_quota_us=f"{quota}\n",
        cpu__cfs_period_us="100000\n",
        cpuacct__usage="7500000000\n",
        memory__stat="inactive_file 1\ntotal_inactive_file 300\ntotal_rss 600\n",
        memory__usage_in_bytes="1000\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        cgroup__procs="11\n12\n",
    )
    return {"version": 1} | dict.fromkeys(("cpu", "cpuacct", "memory"), str(folder))


def cgroup_v2(folder: Path, quota: int) -> dict[str, object]:
    write(
        folder,
        cpu__stat=(
            "usage_usec 7500000\nuser_usec 1\nnr_periods 100\nnr_throttled 40\n"
            "throttled_usec 2500000\n"
        ),
        cpu__max=f"{'max' if quota < 0 else quota} 100000\n",
        memory__stat="anon 600\ninactive_file 300\n",
        memory__current="1000\n",
        memory__events="low 0\nhigh 5\nmax 1\noom 2\noom_kill 2\n",
        cgroup__procs="11\n12\n",
    )
    return {"version": 2} | dict.fromkeys(("cpu", "memory"), str(folder))


def serve(exporter: ModuleType, path: Path, isolation: str, *pods: dict[str, object]) -> Value:
    """Return what a scrape says of a metric of the pod ``replica-0``."""
    content = {"format": 1, "lab": LAB, "isolation": isolation, "pods": pods}
    path.write_text(json.dumps(content), encoding="utf-8")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter.PodCollector(path))
    labels = {"pod": "replica-0", "container": "replica-0"}
    return lambda name: registry.get_sample_value(name, labels)


@pytest.mark.parametrize("cgroup", [cgroup_v1, cgroup_v2])
def test_a_pod_is_read_from_its_cgroup_and_veth(
    cgroup: Callable[[Path, int], dict[str, object]], exporter: ModuleType, tmp_path: Path
) -> None:
    pod = {"name": "replica-0", "interface": "lo", "cgroup": cgroup(tmp_path / "pod", 20000)}
    gone = {**pod, "name": "gone", "interface": "no-such-device"}

    value = serve(exporter, tmp_path / "pods.json", "netns", gone, pod)

    assert value("container_cpu_usage_seconds_total") == 7.5
    assert value("container_cpu_cfs_periods_total") == 100
    assert value("container_cpu_cfs_throttled_periods_total") == 40
    assert value("container_cpu_cfs_throttled_seconds_total") == 2.5
    assert value("container_spec_cpu_quota") == 20000
    assert value("container_spec_cpu_period") == 100000
    assert value("container_memory_working_set_bytes") == 700
    assert value("container_memory_rss") == 600
    assert value("container_oom_events_total") == 2
    assert value("container_processes") == 2
    for name in ("receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets"):
        assert value(f"container_network_{name}_total") is not None


@pytest.mark.parametrize("cgroup", [cgroup_v1, cgroup_v2])
def test_no_quota_is_an_absent_series(
    cgroup: Callable[[Path, int], dict[str, object]], exporter: ModuleType, tmp_path: Path
) -> None:
    pod = {"name": "replica-0", "interface": "lo", "cgroup": cgroup(tmp_path / "pod", -1)}
    value = serve(exporter, tmp_path / "pods.json", "netns", pod)
    assert value("container_spec_cpu_quota") is None


def test_sent_and_received_change_sides_at_the_hosts_end(
    exporter: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"rx_bytes": "1", "tx_bytes": "2", "rx_packets": "3", "tx_packets": "4"}
    write(tmp_path / "veth" / "statistics", **numbers)
    monkeypatch.setattr(exporter, "Path", lambda *parts: tmp_path.joinpath(*parts[1:]))
    assert exporter.network("veth") == {
        "container_network_receive_bytes": 2,
        "container_network_transmit_bytes": 1,
        "container_network_receive_packets": 4,
        "container_network_transmit_packets": 3,
    }


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    """A process of the pod that works, then starts one that works and has lost its mark."""
    child = f"{WORK}print('up', flush=True)\nsys.stdin.readline()"
    parent = (
        f"import subprocess\n{WORK}"
        f"subprocess.run([sys.executable, '-c', {child!r}], env={{}})\n"
        "print('alone', flush=True)\nsys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        env={**os.environ, "RCALAB_LAB": LAB, "RCALAB_POD": "replica-0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield process
    process.kill()
    process.communicate()


def test_without_cgroups_a_pod_is_its_processes_and_no_counter_falls(
    exporter: ModuleType, tmp_path: Path, worker: subprocess.Popen[str]
) -> None:
    pod = {"name": "replica-0", "interface": None, "cgroup": None}
    value = serve(exporter, tmp_path / "pods.json", "none", pod)
    assert worker.stdin is not None
    assert worker.stdout is not None

    assert worker.stdout.readline() == "up\n"
    assert value("container_processes") == 2
    both = value("container_cpu_usage_seconds_total")
    assert both is not None
    assert both >= 0.15  # 0.1 each, less what the clock tick rounds off
    assert value("container_cpu_cfs_periods_total") is None

    worker.stdin.write("\n")  # the child ends
    assert worker.stdout.readline() == "alone\n"
    assert value("container_processes") == 1
    alone = value("container_cpu_usage_seconds_total")
    assert alone is not None
    assert alone >= both


def test_the_processes_of_another_lab_do_not_count(
    exporter: ModuleType, tmp_path: Path, worker: subprocess.Popen[str]
) -> None:
    pod = {"name": "replica-0", "interface": None, "cgroup": None}
    value = serve(exporter, tmp_path / "pods.json", "none", pod)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "up\n"
    content = json.loads((tmp_path / "pods.json").read_text()) | {"lab": "other"}
    (tmp_path / "pods.json").write_text(json.dumps(content))
    assert value("container_processes") == 0
