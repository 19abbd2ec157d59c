# SPDX-License-Identifier: Apache-2.0
"""From a lab's files and a Prometheus to a case: a real server, and each way to fail."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from rca_engine import schemas
from rca_engine.case import Case
from rca_engine.errors import RcaEngineError, TelemetryError
from rca_engine.model import NS, GroundTruth, Topology, Window
from rca_engine.telemetry.completeness import completeness
from rca_engine.telemetry.derive import derive
from rca_engine.telemetry.harvest import Harvest, harvest
from rca_engine.telemetry.logs import LogSource
from rca_engine.telemetry.samples import Samples, label_key
from rcalab_common.times import now_ns

PODS = {"gateway-0": "gateway/nginx", "head": "head/ray", "replica-0": "replica/llm-0"}
SCRAPED_S = 7


def exposition(component: str, elapsed_s: float) -> str:
    """Every required series of a component: counters go up by one a second, gauges stay at 1."""
    lines = []
    for entry in schemas.load("metrics")["metrics"].values():
        source = entry["source"]
        if component.split("/")[0] not in entry["components"] or "records" in source:
            continue
        for part in ("series", "sum", "count"):
            for name in source.get(part, ())[:1]:
                value = 1.0 if entry["kind"] == "gauge" else elapsed_s
                labels = '{mode="user"}' if "without" in source else ""
                if name not in ("up", "scrape_duration_seconds"):
                    lines.append(f"{name}{labels} {value}")
    return "\n".join(dict.fromkeys(lines)) + "\n"


@pytest.fixture(scope="module")
def exporter() -> Iterator[int]:
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(self.path.lstrip("/"), time.monotonic() - began).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield httpd.server_port
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def scrapes(url: str) -> int:
    """Return how many targets a Prometheus has scraped; 0 until it answers."""
    try:
        answer = requests.get(f"{url}/api/v1/query", {"query": "count(up)"}, timeout=1).json()
    except requests.RequestException:
        return 0
    result = answer["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


@pytest.fixture(scope="module")
def prometheus(exporter: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that has scraped a stand-in of the lab for some seconds."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    root = tmp_path_factory.mktemp("prometheus")
    targets = [
        *(("ray", each) for each in ("head/ray", "replica/llm-0")),
        *(("pod", each) for each in PODS.values()),
        ("gateway", "gateway/nginx"),
        ("node", "node/n1"),
        ("prometheus", "telemetry/prometheus"),
    ]
    jobs = [
        {
            "job_name": f"{job}-{number}",
            "metrics_path": f"/{component}",
            "static_configs": [
                {
                    "targets": [f"127.0.0.1:{exporter}"],
                    # Here one server plays all targets; `instance` tells them apart.
                    "labels": {"job": job, "component": component, "instance": component},
                }
            ],
        }
        for number, (job, component) in enumerate(targets)
    ]
    config = root / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                "scrape_configs": jobs,
            }
        )
    )
    url = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={root / 'data'}",
            f"--web.listen-address={url.removeprefix('http://')}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        # It looks for targets some seconds after its start.
        while scrapes(url) < len(targets):
            assert process.poll() is None, "Prometheus ended"
            assert time.monotonic() < deadline, "Prometheus did not scrape all targets"
            time.sleep(0.2)
        time.sleep(SCRAPED_S + 2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def write_run(root: Path, start_ns: int) -> Harvest:
    """Lay out a run as load, fault window and lab leave it; return how to harvest it."""
    records = [
        {
            "index": n, "request_id": "r", "traceparent": "t", "phase": "measured",
            "scheduled_ns": start_ns + n * NS, "sent_ns": start_ns + n * NS,
            "end_ns": start_ns + n * NS + NS // 2, "first_token_ns": None, "last_token_ns": None,
            "outcome": "success", "status": 200, "error": None, "prompt_tokens": 8,
            "output_tokens": 4, "token_source": "usage", "response_ttft_ms": 100.0,
            "response_latency_ms": 500.0, "service_ttft_ms": 100.0, "service_latency_ms": 500.0,
            "tpot_ms": 1.0, "max_gap_ms": 1.0, "replica": None,
        }
        for n in range(SCRAPED_S)
    ]  # fmt: skip
    (root / "load").mkdir(parents=True)
    lines = "".join(f"{json.dumps(each)}\n" for each in records)
    (root / "load" / "requests.jsonl").write_text(lines)
    pods = [{"name": name, "component": component} for name, component in PODS.items()]
    (root / "pods.json").write_text(json.dumps({"format": 1, "isolation": "netns", "pods": pods}))
    return Harvest(run_dir=root, prometheus_url="http://127.0.0.1:1", pods_file=root / "pods.json")


@pytest.mark.slow
def test_a_real_prometheus_becomes_a_whole_case(prometheus, tmp_path):
    plan = write_run(tmp_path / "run", now_ns() - (SCRAPED_S + 1) * NS)
    log = tmp_path / "access.log"
    log.write_text(f'{{"msec": {time.time() - 5:.3f}, "status": 200}}\n')
    sources = [LogSource("gateway/nginx", "access", log)]
    case = Case.load(harvest(replace(plan, prometheus_url=prometheus, logs=sources)))

    after = case.matrix().iloc[-1]
    # Counters go up by one a second; scrapes are a millisecond late or early.
    assert after["replica/llm-0", "cpu_throttled_periods_rate"] == pytest.approx(1.0, rel=0.1)
    assert after["replica/llm-0", "engine_ttft_mean_s"] == pytest.approx(1.0, rel=0.01)
    assert after["node/n1", "node_cpu_utilisation"] == pytest.approx(1.0)
    assert after["head/ray", "up"] == 1.0
    assert case.table("logs")["component"].tolist() == ["gateway/nginx"]
    assert len(case.table("requests")) == SCRAPED_S
    assert case.alert is None
    used = case.metric_table["engine_generation_tokens_rate"].source["series"]
    assert used == ["ray_vllm_generation_tokens_total"]
    required = [each for each in case.manifest["completeness"] if each["required"]]
    assert len(required) > 40
    holes = [each for each in required if each["received"] < SCRAPED_S - 2 or each["gaps"]]
    assert holes == []
    assert case.manifest["sources"]["prometheus"]["rows"] == len(case.table("samples"))


def test_an_empty_window_leaves_the_run_as_it_was(prometheus, tmp_path):
    plan = write_run(tmp_path / "run", now_ns() - 86_400 * NS)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TelemetryError, match="no samples for the window; was the lab up"):
        harvest(replace(plan, prometheus_url=prometheus))
    assert sorted(tmp_path.rglob("*")) == before


def _drop(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: None, "Prometheus can't be reached"),
        (_drop("load/requests.jsonl"), "no request records: No such file"),
        (_write("load/requests.jsonl", ""), "no request records; run the load first"),
        (_write("load/requests.jsonl", "{}\n"), "lack a field"),
        (_write("load/requests.jsonl", "no\n"), r"requests.jsonl:1: not JSON"),
        (_write("load/requests.jsonl", '{"index": "a"}\n'), "do not fit the format"),
        (_drop("pods.json"), r"pods.json: no such file"),
        (_write("pods.json", '{"format": 3}'), "not a pods.json of format 1"),
        (_write("pods.json", '{"format": 1, "isolation": "none", "pods": [{}]}'), "each pod needs"),
    ],
)
def test_what_is_missing_or_broken_is_told_and_nothing_is_written(tmp_path, damage, message):
    plan = write_run(tmp_path / "run", NS)
    damage(plan.run_dir)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RcaEngineError, match=message):
        harvest(plan)
    assert sorted(tmp_path.rglob("*")) == before


def scraped(job: str, *seconds: float) -> Samples:
    labels = label_key({"component": "replica/llm-0", "job": job})
    return Samples.pack({("x", labels): {round(second * NS): 1.0 for second in seconds}})


def coverage(samples: Samples, **entry: object) -> list[dict[str, object]]:
    topology = Topology.from_json(
        {"components": [{"kind": "replica", "name": "llm-0", "labels": {}}], "edges": []}
    )
    truth = GroundTruth("F01", "cpu_starvation", False, "effective", {"replica/llm-0": ("x",)},
                        {"effect_first_seen": 30 * NS, "revert_verified": 60 * NS}, {})  # fmt: skip
    spec = {"source": {"job": "ray", "series": ["x"]}, "components": ["replica"], "required": True}
    return completeness(
        samples, {"m": spec | entry}, topology, Window(NS, 101 * NS),
        interval_s=1.0, isolation="netns", engine="simulator", truth=truth,
    )  # fmt: skip


def test_samples_are_counted_against_the_interval():
    [entry] = coverage(scraped("ray", *range(1, 102, 2)))
    assert (entry["expected"], entry["received"], entry["ratio"]) == (100, 51, 0.51)
    assert entry["gaps"] == []


def test_a_job_may_be_scraped_less_often():
    topology = Topology.from_json(
        {"components": [{"kind": "replica", "name": "llm-0", "labels": {}}], "edges": []}
    )
    spec = {"source": {"job": "ray", "series": ["x"]}, "components": ["replica"], "required": True}
    [entry] = completeness(
        scraped("ray", *range(1, 102, 10)), {"m": spec}, topology, Window(NS, 101 * NS),
        interval_s=1.0, intervals_s={"ray": 10.0}, isolation="netns", engine="vllm", truth=None,
    )  # fmt: skip
    assert (entry["expected"], entry["received"], entry["gaps"]) == (10, 11, [])


@pytest.mark.parametrize(
    ("job", "missing", "expected"),
    [
        ("ray", (40, 50), [True]),
        ("ray", (58, 66), [True]),
        ("ray", (10, 20), [False]),
        ("ray", (90, 102), [False]),
        ("pod", (40, 50), [False]),  # its exporter is outside the pod
        ("ray", (40, 42), []),
    ],
)
def test_a_gap_is_expected_where_the_fault_held_back_its_own_scrapes(job, missing, expected):
    seconds = [second for second in range(1, 102) if not missing[0] < second < missing[1]]
    [entry] = coverage(scraped(job, *seconds), source={"job": job, "series": ["x"]})
    assert [gap["expected"] for gap in entry["gaps"]] == expected
    assert all((gap["reason"] is not None) == gap["expected"] for gap in entry["gaps"])


def test_a_required_metric_without_samples_is_an_error_and_an_optional_one_is_not():
    with pytest.raises(TelemetryError, match=r"required metrics: m \(from y or z\)"):
        coverage(scraped("ray", 1), source={"job": "ray", "series": ["y", "z"]})
    assert coverage(scraped("ray", 1), source={"series": ["y"]}, required=False) == []


def test_with_isolation_none_what_only_namespaces_have_is_not_asked_for():
    assert coverage(scraped("ray", 1), source={"series": ["y"]}, isolation="none") == []


def test_with_the_simulator_what_only_ray_serve_has_is_not_asked_for():
    assert coverage(scraped("ray", 1), source={"series": ["y"]}, engine="vllm") == []
    vocabulary = schemas.load("metrics")["metrics"]
    only_vllm = {name for name, entry in vocabulary.items() if entry.get("engine") == "vllm"}
    required = {name for name, entry in vocabulary.items() if entry.get("required")}
    assert {name for name in required if name.startswith("serve_")} == only_vllm


def test_the_harvest_of_a_large_lab_is_quick():
    rng = np.random.default_rng(0)
    vocabulary = schemas.load("metrics")["metrics"]
    name = "ray_vllm_generation_tokens_total"
    points = {
        (name, label_key({"component": f"replica/llm-{n % 8}", "job": "ray", "n": str(n)})): dict(
            zip((np.arange(200) * NS).tolist(), rng.random(200).cumsum().tolist(), strict=True)
        )
        for n in range(1000)
    }
    packed = Samples.pack(points)
    began = time.perf_counter()
    derived = derive(packed, vocabulary, np.arange(200) * NS)
    assert pd.DataFrame(derived.matrix).notna().sum().sum() > 8 * 190
    assert time.perf_counter() - began < 3.0
