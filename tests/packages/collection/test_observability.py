# SPDX-License-Identifier: Apache-2.0
"""Dashboards, rules and scrape jobs of Prometheus speak of series that exist."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dashboards
import jinja2
import pytest
import requests
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/prometheus_stack"
CSV = ROOT / "roles/nvidia_gpu_operator/files/dcgm-metrics.csv"
RULES = yaml.safe_load((ROLE / "files/rules.yml").read_text(encoding="utf-8"))["groups"]
# Words of PromQL that look like series.
FUNCTIONS = {
    *("abs", "absent", "and", "avg", "by", "count", "group_left", "histogram_quantile", "ignoring"),
    *("increase", "label_values", "le", "max", "min", "on", "or", "quantile", "rate", "sum"),
    *("unless", "vector", "without"),
}
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="Debian's package prometheus is not installed",
)


def series_of(expression: str) -> set[str]:
    """The names of series in PromQL: words that are neither functions, labels nor values."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\$__\w+", "", bare)
    words = set(re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*", bare))
    return words - FUNCTIONS


def harvested() -> set[str]:
    """The series that derived metrics are made from."""
    text = (ROOT / "rca_engine/schemas/metrics.json").read_text(encoding="utf-8")
    sources = [entry["source"] for entry in json.loads(text)["metrics"].values()]
    return {
        name
        for source in sources
        for part in ("series", "sum", "count")
        for name in source.get(part, ())
    }


def known() -> set[str]:
    """Every series that dashboards and rules may use."""
    path = Path(__file__).with_name("known_series.yml")
    recorded = {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}
    objectives = {"rcalab:slo_ttft_seconds", "rcalab:slo_latency_seconds"}
    named = set(yaml.safe_load(path.read_text(encoding="utf-8")))
    return harvested() | named | recorded | objectives


def queries(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            if target["datasource"]["type"] == "prometheus":
                yield target["expr"]


def test_the_dashboards_are_up_to_date() -> None:
    assert dashboards.stale() == [], "run `make docs`"


@pytest.mark.parametrize("board", dashboards.BOARDS, ids=lambda board: board.name)
def test_a_dashboard_uses_series_that_exist(board: Any) -> None:
    path = dashboards.FOLDER / f"{board.name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    used = {name for query in queries(content) for name in series_of(query)}
    assert len(used) > 5
    assert used - known() == set()


def test_rules_use_series_that_exist() -> None:
    expressions = [rule["expr"] for group in RULES for rule in group["rules"]]
    used = {name for expression in expressions for name in series_of(expression)}
    assert used - known() == set()


def test_what_dashboards_show_of_gpus_is_collected() -> None:
    lines = CSV.read_text(encoding="utf-8").splitlines()
    collected = {line.partition(",")[0] for line in lines if line and not line.startswith("#")}
    wanted = {name for name in known() if name.startswith("DCGM_")}
    # Of a derived metric with several names, the newer exporters' are not collected by these.
    used = set()
    for board in dashboards.BOARDS:
        path = dashboards.FOLDER / f"{board.name}.json"
        for query in queries(json.loads(path.read_text(encoding="utf-8"))):
            used |= series_of(query) & wanted
    assert used - collected == set()


def test_collected_fields_are_well_formed() -> None:
    rows = [
        line for line in CSV.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    for row in rows:
        field, kind, text = (part.strip() for part in row.split(",", 2))
        assert re.fullmatch(r"DCGM_(FI|EXP)_[A-Z_0-9]+", field), row
        assert kind in {"gauge", "counter", "label"}, row
        assert text, row
    assert len({row.partition(",")[0] for row in rows}) == len(rows)


@needs_prometheus
def test_rules_fire_when_they_should(tmp_path: Path) -> None:
    """A replica that is slow, one that hangs, and a target that is gone."""
    objectives = {
        "name": "objectives",
        "rules": [
            {"record": "rcalab:slo_ttft_seconds", "expr": "vector(1.5)"},
            {"record": "rcalab:slo_latency_seconds", "expr": "vector(4)"},
        ],
    }
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [objectives, *RULES]}))
    slow, hung = 'component="replica/llm-0"', 'component="replica/llm-1"'
    bucket = "ray_vllm_time_to_first_token_seconds_bucket"
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [
                    {"series": f'{bucket}{{{slow},le="1.0"}}', "values": "0+0x24"},
                    {"series": f'{bucket}{{{slow},le="2.5"}}', "values": "0+10x24"},
                    {"series": f'{bucket}{{{slow},le="+Inf"}}', "values": "0+10x24"},
                    {"series": f"ray_vllm_num_requests_running{{{hung}}}", "values": "3+0x24"},
                    {"series": f"ray_vllm_generation_tokens_total{{{hung}}}", "values": "70+0x24"},
                    {"series": f'up{{job="ray",{slow}}}', "values": "1+0x24"},
                    {"series": f'up{{job="ray",{hung}}}', "values": "0+0x24"},
                    {"series": f'up{{job="pod",{slow}}}', "values": "1+0x24"},
                    {"series": 'up{component="node/a"}', "values": "1+0x24"},
                ],
                "alert_rule_test": [
                    fires("RcalabTtftAboveLevel", component="replica/llm-0", severity="slo"),
                    fires("RcalabReplicaHangs", component="replica/llm-1", severity="symptom"),
                    fires(
                        "RcalabScrapeFails",
                        component="replica/llm-1",
                        job="ray",
                        severity="telemetry",
                    ),
                    fires("RcalabLatencyAboveLevel"),
                    fires("RcalabJobMissing"),
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    answer = subprocess.run(
        ["promtool", "test", "rules", "test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def fires(alert: str, **labels: str) -> dict[str, Any]:
    """What promtool expects after two minutes; without labels, that it does not fire."""
    groups = [rule for group in RULES for rule in group["rules"]]
    (rule,) = [rule for rule in groups if rule.get("alert") == alert]
    expected = [{"exp_labels": labels, "exp_annotations": rule["annotations"]}] if labels else []
    return {"eval_time": "2m", "alertname": alert, "exp_alerts": expected}


def scraping(name: str, **settings: Any) -> dict[str, Any]:
    """A job or monitor of the role, `_prometheus_stack_<name>`, with its variables filled in."""
    text = (ROLE / "vars/main/jobs.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no page

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, str) and "{{" in value:
            return environment.from_string(value).render(**found, **settings)
        return value

    return dict(fill(found[f"_prometheus_stack_{name}"]))


SETTINGS: dict[str, Any] = {
    "cluster_namespace": "llm",
    "cluster_monitoring_namespace": "monitoring",
    "prometheus_stack_interval_s": 1,
    "prometheus_stack_replica_groups": "llm-[0-9]+",
}
FIRST, SECOND = "llm-x1-llm-0-worker-abcde", "llm-x1-llm-1-worker-fghij"
CADVISOR = f"""\
container_cpu_usage_seconds_total{{container="ray-worker",namespace="llm",pod="{FIRST}"}} 1
container_cpu_usage_seconds_total{{container="",namespace="llm",pod="{FIRST}"}} 99
container_cpu_usage_seconds_total{{container="ray-worker",namespace="llm",pod="{SECOND}"}} 2
container_cpu_usage_seconds_total{{container="x",namespace="other",pod="{FIRST}"}} 3
container_network_receive_bytes_total{{container="",namespace="llm",pod="{FIRST}"}} 4
container_oom_events_total{{container="ray-worker",namespace="llm",pod="{FIRST}"}} 5
container_tasks_state{{container="ray-worker",namespace="llm",pod="{FIRST}"}} 6
"""
RESTARTS = "kube_pod_container_status_restarts_total"
STATE = f"""\
{RESTARTS}{{namespace="llm",pod="{FIRST}"}} 1
{RESTARTS}{{namespace="llm",pod="llm-x1-head-abcde"}} 2
{RESTARTS}{{namespace="llm",pod="llm-3"}} 3
{RESTARTS}{{namespace="llm",pod="gateway-5d4-abcde"}} 4
{RESTARTS}{{namespace="other",pod="x"}} 5
kube_deployment_spec_replicas{{namespace="llm",deployment="gateway"}} 6
kube_pod_labels{{namespace="llm",pod="llm-3"}} 1
"""


@pytest.fixture
def page() -> Iterator[str]:
    """A server of both pages, as `host:port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (CADVISOR if "cadvisor" in self.path else STATE).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[list[dict[str, Any]]], str]]:
    """Run Debian's Prometheus with scrape jobs and return its address."""
    running: list[subprocess.Popen[bytes]] = []

    def start(jobs: list[dict[str, Any]]) -> str:
        config = tmp_path / "prometheus.yml"
        config.write_text(yaml.safe_dump({"scrape_configs": jobs}))
        address = f"127.0.0.1:{free_port()}"
        running.append(
            subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={tmp_path}/data",
                    f"--web.listen-address={address}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=(tmp_path / "log").open("wb"),
            )
        )
        return address

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def ask(address: str, query: str, *, at_least: int) -> list[dict[str, str]]:
    """The labels of a query's series, with the value, once there are enough of them."""
    deadline = time.monotonic() + 60
    result: list[dict[str, Any]] = []
    while len(result) < at_least and time.monotonic() < deadline:
        try:
            answer = requests.get(
                f"http://{address}/api/v1/query", params={"query": query}, timeout=5
            )
            result = answer.json()["data"]["result"] if answer.ok else []
        except requests.ConnectionError:
            pass
        threading.Event().wait(0.2)
    return [item["metric"] | {"value": item["value"][1]} for item in result]


def with_targets(job: dict[str, Any], targets: list[dict[str, Any]]) -> dict[str, Any]:
    """The job with targets as discovery finds them: Debian's Prometheus is built without it."""
    kept = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    return kept | {"static_configs": targets}


def as_configured(relabelings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Relabelling as the operator writes it down: a monitor's names in Prometheus' spelling."""
    spelling = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return [{spelling.get(key, key): value for key, value in each.items()} for each in relabelings]


def in_the_open(job: dict[str, Any]) -> dict[str, Any]:
    """The job over plain HTTP."""
    return {k: v for k, v in job.items() if k not in ("authorization", "tls_config", "scheme")}


@needs_prometheus
def test_the_job_is_a_valid_configuration(tmp_path: Path) -> None:
    jobs = [with_targets(scraping("pod_job", **SETTINGS), [])]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
    answer = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@needs_prometheus
def test_a_container_gets_its_component_from_its_pods_labels(
    page: str, prometheus: Callable[[list[dict[str, Any]]], str]
) -> None:
    """Two replicas on one node: each target keeps its own pod's series of the node's page."""
    job = scraping("pod_job", **SETTINGS)
    host, _, port = page.partition(":")
    for rule in job["relabel_configs"]:
        if rule.get("target_label") == "__address__":
            rule["replacement"] = f"$1:{port}"
    meta = "__meta_kubernetes_pod_"
    targets = [
        {
            "targets": [f"ignored:{number}"],
            "labels": {
                f"{meta}phase": "Running",
                f"{meta}host_ip": host,
                f"{meta}name": name,
                f"{meta}label_ray_io_node_type": "worker",
                f"{meta}label_ray_io_group": group,
            },
        }
        for name, group in [
            (FIRST, "llm-0"),
            (SECOND, "llm-1"),
        ]
        # A target for each port of a pod, as discovery finds them.
        for number in (1, 2)
    ]
    address = prometheus([in_the_open(with_targets(job, targets))])
    usage = ask(address, "container_cpu_usage_seconds_total", at_least=2)
    assert sorted((item["component"], item["value"]) for item in usage) == [
        ("replica/llm-0", "1"),
        ("replica/llm-1", "2"),
    ]
    assert all(item["job"] == "pod" and "target_pod" not in item for item in usage)
    (network,) = ask(address, "container_network_receive_bytes_total", at_least=1)
    assert network["component"] == "replica/llm-0"
    (kills,) = ask(address, "container_oom_events_total", at_least=1)
    assert (kills["job"], kills["component"]) == ("kube", "replica/llm-0")
    assert ask(address, "container_tasks_state", at_least=0) == []
    up = ask(address, "up", at_least=2)
    assert [item["component"] for item in up] == ["telemetry/kubelet"] * 2


@needs_prometheus
def test_kube_state_metrics_names_components_by_kuberays_names(
    page: str, prometheus: Callable[[list[dict[str, Any]]], str]
) -> None:
    monitor = scraping("kube_monitor", **SETTINGS)
    job = {
        "job_name": "kube-state-metrics",
        "scrape_interval": "1s",
        "honor_labels": True,
        "relabel_configs": as_configured(monitor["relabelings"]),
        "metric_relabel_configs": as_configured(monitor["metricRelabelings"]),
        "static_configs": [{"targets": [page]}],
    }
    address = prometheus([job])
    restarts = ask(address, RESTARTS, at_least=5)
    assert sorted((item.get("component", ""), item["value"]) for item in restarts) == [
        ("", "5"),
        ("gateway/nginx", "4"),
        ("head/ray", "2"),
        ("replica/llm-0", "1"),
        ("replica/llm-3", "3"),
    ]
    (replicas,) = ask(address, "kube_deployment_spec_replicas", at_least=1)
    assert replicas["component"] == "service/llm"
    (up,) = ask(address, "up", at_least=1)
    assert up["component"] == "telemetry/kube-state-metrics"
