# SPDX-License-Identifier: Apache-2.0
"""From a cluster's sources to a case: a real Prometheus, the others played."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.deepflow import DeepFlow
from servers.http import serve
from servers.kubernetes import Kubernetes, made, node, pod
from servers.loki import Line, Loki
from servers.prometheus import prometheus
from servers.tempo import Span, Tempo

from rca_engine import schemas
from rca_engine.case import Case
from rca_engine.cli import main
from rca_engine.errors import CaseError, TelemetryError
from rca_engine.model import NS, Edge, Window
from rca_engine.telemetry.cluster import selections
from rca_engine.telemetry.harvest import Harvest, harvest, vocabulary
from rca_engine.telemetry.placement import Placement, Relabeller, Rule
from rca_engine.telemetry.settings import parse, read

START_S = 1_767_225_600
SECONDS, STEP = 120, 5
WINDOW = Window(START_S * NS, (START_S + SECONDS) * NS)
PODS = {"nginx-y": "gateway/nginx", "head-x": "head/ray", "w-a": "replica/llm-0"}
KILLED = "w-killed"
"""A pod of replica/llm-0 that is gone when the case is made."""


def labels_of(job: str | None, name: str, which: str) -> dict[str, str]:
    """Labels as kube-prometheus scrapes them."""
    if job == "node":
        return {"job": "node-exporter", "instance": "10.1.0.1:9100", "pod": "exporter-1"}
    if job == "dcgm":
        return {"job": "dcgm", "Hostname": "n1", "gpu": "0", "pod": "w-a", "namespace": "ray"}
    own = {
        "job": f"monitoring/{job}",
        "instance": f"{which}:8080",
        "namespace": "ray",
        "pod": which,
    }
    shared = name.startswith("container_network")
    return own | ({"container": "main"} if job == "pod" and not shared else {})


def exposition() -> Iterator[str]:
    """What each component must show, and some of what it may; counters go up by one a second."""
    for name, entry in vocabulary("kubernetes")["metrics"].items():
        source = entry["source"]
        if "records" in source or not (
            entry["required"] or name.startswith(("gpu_sm", "gpu_power"))
        ):
            continue
        for which, component in {**PODS, "n1": "node/n1", "g": "gpu/n1.0"}.items():
            if component.split("/")[0] not in entry["components"]:
                continue
            for part in ("series", "sum", "count"):
                for series in source.get(part, ())[-1:]:
                    yield from samples(series, labels_of(source.get("job"), series, which), entry)
    # cAdvisor's sum over the pod, which must not count.
    whole = {"job": "kubelet", "namespace": "ray", "pod": "w-a"}
    yield from samples("container_cpu_usage_seconds_total", whole, {"kind": "rate"})
    relabelled = {"namespace": "ray", "pod": KILLED, "component": "replica/llm-0", "job": "ray"}
    yield from samples("up", relabelled, {"kind": "gauge"})


def samples(name: str, labels: dict[str, str], entry: dict[str, Any]) -> Iterator[str]:
    marks = {**labels, **({"mode": "user"} if name == "node_cpu_seconds_total" else {})}
    text = ",".join(f'{key}="{value}"' for key, value in marks.items())
    for second in range(-30, SECONDS + 1, STEP):
        value = 1.0 if entry["kind"] == "gauge" else second + 30
        yield f"{name}{{{text}}} {value} {START_S + second}.5"


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("cluster"), dict.fromkeys(exposition())) as url:
        yield url


@contextlib.contextmanager
def played() -> Iterator[dict[str, str]]:
    """Loki, Tempo, DeepFlow and the Kubernetes API; their addresses by name."""
    at = START_S * NS + 50 * NS
    lines = [
        Line(at, (("namespace", "ray"), ("pod", each)), f"of {each}") for each in [*PODS, KILLED]
    ]
    spans = [
        Span("a" * 16, None, "head-x", "route", at, 1.0),
        Span("b" * 16, "a" * 16, "w-a", "llm_request", at, 0.9,
             {"gen_ai.latency.time_in_queue": 0.1}),
    ]  # fmt: skip
    killed = {
        "metadata": made("k"), "eventTime": "2026-01-01T00:01:00.000000Z", "reason": "Killing",
        "note": "Stopping", "regarding": {"kind": "Pod", "name": KILLED},
    }  # fmt: skip
    created = "2025-12-31T23:00:00Z"
    head, worker = {"ray.io__node_type": "head"}, {"ray.io__node_type": "worker"}
    index = {"ray.io__worker_group_replica_index": "0"}
    pods = [
        pod("nginx-y", "n1", "10.2.0.1", created, **{"app.kubernetes.io__component": "gateway"}),
        pod("head-x", "n1", "10.2.0.2", created, **head),
        pod("w-a", "n1", "10.2.0.3", created, **worker, **index),
    ]
    api = Kubernetes(
        {
            "/api/v1/nodes": [node("n1", "10.1.0.1", gpus=1)],
            "/api/v1/namespaces/ray/pods": pods,
            "/apis/events.k8s.io/v1/namespaces/ray/events": [killed],
            "/apis/events.k8s.io/v1/namespaces/default/events": [],
        }
    )
    servers = {
        "loki": Loki(lines),
        "tempo": Tempo({"0" * 30 + "1f": spans}),
        "deepflow": DeepFlow([]),
        "kubernetes": api,
    }
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(serve(each)) for name, each in servers.items()}


def write_run(root: Path) -> Path:
    """Lay out a run as the load leaves it."""
    (root / "load").mkdir(parents=True)
    records = [
        {
            "index": n, "request_id": "r", "traceparent": "t", "phase": "measured",
            "scheduled_ns": (START_S + n) * NS, "sent_ns": (START_S + n) * NS,
            "end_ns": (START_S + n) * NS + NS // 2, "first_token_ns": None, "last_token_ns": None,
            "outcome": "success", "status": 200, "error": None, "prompt_tokens": 8,
            "output_tokens": 4, "token_source": "usage", "response_ttft_ms": 100.0,
            "response_latency_ms": 500.0, "service_ttft_ms": 100.0, "service_latency_ms": 500.0,
            "tpot_ms": 1.0, "max_gap_ms": 1.0, "replica": None,
        }
        for n in range(SECONDS)
    ]  # fmt: skip
    lines = "".join(f"{json.dumps(each)}\n" for each in records)
    (root / "load" / "requests.jsonl").write_text(lines)
    return root


def settings(url: str, others: dict[str, str]) -> dict[str, Any]:
    return {
        "format": 1,
        "namespace": "ray",
        "scrape_interval_s": STEP,
        "prometheus": {"url": url},
        **{name: {"url": each} for name, each in others.items()},
    }


@pytest.mark.slow
def test_a_cluster_becomes_a_whole_case(stored, tmp_path, capsys):
    run = write_run(tmp_path / "run")
    with played() as others:
        file = tmp_path / "cluster.yml"
        file.write_text(yaml.safe_dump(settings(stored, others)))
        assert main(["harvest", str(run), "--settings", str(file), "--scenario", "kill"]) == 0
    case = Case.load(run)
    assert (case.info.platform, case.info.scenario) == ("kubernetes", "kill")

    last = case.matrix().iloc[-1]
    # One container's counter: the pod's sum beside it is left out.
    assert last["replica/llm-0", "cpu_usage_cores"] == pytest.approx(1.0)
    assert last["replica/llm-0", "network_receive_bytes_rate"] == pytest.approx(1.0)
    assert last["node/n1", "node_cpu_utilisation"] == pytest.approx(1.0)
    # DCGM's new names in its new units.
    assert last["gpu/n1.0", "gpu_sm_clock_mhz"] == pytest.approx(1e-6)
    assert last["gpu/n1.0", "gpu_power_limit_w"] == pytest.approx(1.0)
    used = case.metric_table["engine_generation_tokens_rate"].source["series"]
    assert used == ["vllm:generation_tokens"]

    logs = case.table("logs")
    assert dict(zip(logs["message"], logs["component"], strict=True)) == {
        **{f"of {each}": component for each, component in PODS.items()},
        # It is gone, but the scrape had told what it was.
        f"of {KILLED}": "replica/llm-0",
    }
    assert case.table("events")["component"].tolist() == ["replica/llm-0"]
    assert sorted(case.table("traces")["name"]) == ["llm_request", "queue", "route"]

    edges = set(case.topology.edges)
    assert Edge("replica/llm-0", "gpu/n1.0", "runs_on") in edges
    assert Edge("gpu/n1.0", "node/n1", "part_of") in edges
    assert Edge("head/ray", "replica/llm-0", "calls") in edges
    sources = case.manifest["sources"]
    assert sources.keys() == {
        "prometheus", "requests", "logs", "loki", "tempo", "deepflow", "kubernetes",
    }  # fmt: skip
    assert sources["prometheus"]["rows"] == len(case.table("samples"))
    assert (sources["loki"]["expected"], sources["loki"]["received"]) == (4, 4)
    assert sources["tempo"]["unfetched"] == []
    asked = [query for each in sources.values() for query in each.get("queries", ())]
    assert {query["status"] for query in asked} == {200}
    required = [each for each in case.manifest["completeness"] if each["required"]]
    assert len(required) > 30
    assert [each for each in required if each["ratio"] < 0.95 or each["gaps"]] == []
    assert case.info.sources["loki"]["query"] == '{namespace="ray"}'


@pytest.mark.slow
def test_a_required_series_that_is_missing_is_told_with_all_its_names(stored, tmp_path):
    run = write_run(tmp_path / "run")
    document = settings(stored, {})
    document["prometheus"]["jobs"] = {"ray": 'namespace="ray",pod="w-a",__name__!~".*token.*"'}
    with played() as others:
        document["kubernetes"] = {"url": others["kubernetes"]}
        plan = Harvest(run_dir=run, cluster=parse(document))
        message = (
            r"engine_generation_tokens_rate \(from ray_vllm_generation_tokens_total or "
            r"ray_vllm_generation_tokens or vllm:generation_tokens_total"
        )
        with pytest.raises(TelemetryError, match=message):
            harvest(plan)
    assert not (run / "case.json").exists()


@pytest.mark.slow
def test_a_source_that_can_not_be_reached_leaves_the_run_as_it_was(stored, tmp_path):
    run = write_run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    with played() as others:
        document = settings(stored, others | {"loki": "http://127.0.0.1:1"})
        plan = Harvest(run_dir=run, cluster=replace(parse(document), deadline_s=3))
        with pytest.raises(TelemetryError, match=r"http://127.0.0.1:1: Loki (can't|took too)"):
            harvest(plan)
    assert sorted(tmp_path.rglob("*")) == before


def test_selections_leave_out_cadvisors_sums_but_where_only_a_sum_is():
    chosen = list(selections(parse(settings("http://p", {})), vocabulary("kubernetes")["metrics"]))
    of = {name: each.matchers for each in chosen if each.job == "pod" for name in each.names}
    assert 'container!=""' in str(of["container_cpu_usage_seconds_total"])
    assert of["container_network_receive_bytes_total"] == 'namespace="ray"'
    names = [(each.job, name) for each in chosen for name in each.names]
    assert len(names) == len(set(names))


PLACES = Placement(
    rules=(Rule("replica/llm-{slot}", {"app": "engine"}),),
    pods={"w-a": "replica/llm-0"},
    nodes={"n1": "node/n1", "10.1.0.1": "node/n1"},
)


@pytest.mark.parametrize(
    ("job", "name", "labels", "component"),
    [
        ("ray", "x", {"pod": "w-a"}, "replica/llm-0"),
        ("ray", "x", {"pod": "w-a", "component": "head/ray"}, "head/ray"),
        ("ray", "x", {"app": "engine", "slot": "3"}, "replica/llm-3"),
        # A label of Kubernetes that is named alike is no component.
        ("ray", "x", {"pod": "w-a", "component": "kubelet"}, "replica/llm-0"),
        ("ray", "x", {"app": "engine", "pod": "other"}, None),
        ("node", "x", {"instance": "10.1.0.1:9100"}, "node/n1"),
        ("dcgm", "x", {"hostname": "n1", "gpu": "3", "pod": "w-a"}, "gpu/n1.3"),
        ("dcgm", "x", {"Hostname": "n1", "gpu": "3", "exported_pod": "w-a"}, "gpu/n1.3"),
        ("kube", "kube_pod_status_ready", {"pod": "w-a"}, "replica/llm-0"),
        ("kube", "kube_deployment_spec_replicas", {"pod": "metrics"}, "service/llm"),
        ("istio", "x", {"source_workload": "a", "destination_workload": "b"}, "link/a--b"),
        (None, "up", {"node": "n1"}, "node/n1"),
        (None, "up", {"pod": "elsewhere"}, None),
    ],
)
def test_labels_lead_to_components(job, name, labels, component):
    kept = Relabeller(PLACES)(job, name, {"job": "scraped", **labels})
    assert (None if kept is None else kept["component"]) == component
    if kept is not None and job is not None:
        assert (kept["job"], kept["scrape_job"]) == (job, "scraped")


def test_series_of_no_component_are_told_but_not_those_of_other_machines():
    relabel = Relabeller(PLACES)
    for labels in ({"pod": "w-x"}, {"pod": "w-a"}, {"pod": "w-x"}):
        relabel("ray", "x", labels)
    relabel("dcgm", "x", {"hostname": "n9", "gpu": "0"})
    assert relabel.strangers() == {"ray: w-x": 2, "dcgm: x": 1}
    relabel("dcgm", "x", {"hostname": "n1", "gpu": "0"})
    assert relabel.strangers() == {"ray: w-x": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: 1\nnamespace: ray\n", "'prometheus' is a required property"),
        ("- a\n", "is not of type 'object'"),
        ("a: [\n", "not YAML"),
        ("format: 1\nnamespace: ray\nprometheus: {url: ftp://h}\n", "does not match"),
        ("format: 1\nnamespace: ray\nprometheus: {url: http://h, token: x}\n", "'token' was unexp"),
        ("format: 2\nnamespace: ray\nprometheus: {url: http://h}\n", "1 was expected"),
    ],
)
def test_settings_that_are_wrong_are_told_by_their_place(tmp_path, text, message):
    file = tmp_path / "cluster.yml"
    file.write_text(text)
    with pytest.raises(CaseError, match=message) as error:
        read(file)
    assert str(error.value).startswith(str(file))


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(CaseError, match="names a user; give a `token_file`") as error:
        parse(settings("http://u:s3cret@h", {}))
    assert "s3cret" not in str(error.value)


def test_the_settings_in_the_documentation_fit_their_schema():
    page = (Path(__file__).resolve().parents[4] / "docs/harvest.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    document = yaml.safe_load(example)
    cluster = parse(document)
    assert None not in (cluster.loki, cluster.tempo, cluster.deepflow, cluster.kubernetes)
    assert document.keys() == schemas.load("harvest.schema")["properties"].keys()
