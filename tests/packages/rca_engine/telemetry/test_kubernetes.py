# SPDX-License-Identifier: Apache-2.0
"""Events and topology from the API, in pages whose tokens expire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers.http import serve
from servers.kubernetes import Kubernetes, made, node, pod

from rca_engine.errors import TelemetryError
from rca_engine.model import Edge, Window
from rca_engine.telemetry import kubernetes_events
from rca_engine.telemetry.http import Connection, Deadline, Endpoint
from rca_engine.telemetry.kubernetes_api import Lister, Source, connect
from rca_engine.telemetry.kubernetes_topology import Lab, read_lab
from rca_engine.telemetry.placement import Placement
from rca_engine.telemetry.source import Gathered
from rcalab_common.times import parse_utc

EVENTS = "/apis/events.k8s.io/v1/namespaces/{}/events"
WINDOW = Window(parse_utc("2026-11-22T10:00:00Z"), parse_utc("2026-11-22T10:10:00Z"))
PLACES = Placement(pods={"w0": "replica/llm-0"}, nodes={"n1": "node/n1"})
INDEX = {"ray.io__worker_group_replica_index": "0"}


def event(name: str, about: tuple[str, str], **more: Any) -> dict[str, Any]:
    kind, what = about
    return {
        "metadata": made(name),
        "eventTime": "2026-11-22T10:05:00.123456Z",
        "reason": "Killing",
        "note": "Stopping container",
        "regarding": {"kind": kind, "name": what},
    } | more


def events(api: Kubernetes) -> Gathered:
    with serve(api) as url, Connection(Endpoint(url), Deadline(20), "the API") as connection:
        return kubernetes_events.gather(connection, "ray", PLACES, WINDOW)


def api(lab: list[dict[str, Any]], of_nodes: list[dict[str, Any]] | None = None, **more: Any):
    return Kubernetes({EVENTS.format("ray"): lab, EVENTS.format("default"): of_nodes or []}, **more)


def test_events_of_pods_nodes_and_the_service_have_their_components():
    lab = [
        event("a", ("Pod", "w0")),
        event("b", ("RayService", "llm")),
        event("c", ("Pod", "stranger")),
    ]
    others = [event("d", ("Node", "n1"), reason="NodeNotReady"), event("e", ("Pod", "x"))]
    gathered = events(api(lab, others))
    assert [row[1:3] for row in gathered.rows] == [
        ("replica/llm-0", "Killing"),
        ("service/llm", "Killing"),
        ("node/n1", "NodeNotReady"),
    ]
    assert gathered.rows[0][0] == parse_utc("2026-11-22T10:05:00.123456Z")
    assert (
        "1 events belong to no component and were left out: Pod stranger (1)"
        in (gathered.warnings[0])
    )


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"deprecatedLastTimestamp": "2026-11-22T10:06:00Z", "deprecatedCount": 3},
         [("10:05:00.123456000", 3), ("10:06:00.000000000", 3)]),
        ({"series": {"count": 2, "lastObservedTime": "2026-11-22T10:20:00.000000Z"}},
         [("10:05:00.123456000", 2)]),
        # Events of the kubelet have no eventTime, only the old fields.
        ({"eventTime": None, "deprecatedFirstTimestamp": "2026-11-22T10:01:00Z",
          "deprecatedLastTimestamp": "2026-11-22T10:01:00Z", "deprecatedCount": 1},
         [("10:01:00.000000000", 1)]),
        ({"eventTime": None}, [("10:00:00.000000000", 1)]),
        ({"eventTime": "2026-11-22T11:00:00.000000Z"}, []),
    ],
)  # fmt: skip
def test_an_event_counts_when_it_was_first_and_last_seen(times, expected):
    gathered = events(api([event("a", ("Pod", "w0"), **times)]))
    wanted = [
        (
            parse_utc(f"2026-11-22T{clock}Z"),
            "replica/llm-0",
            "Killing",
            "Stopping container" + (f" (seen {count} times)" if count > 1 else ""),
        )
        for clock, count in expected
    ]
    assert gathered.rows == wanted


@pytest.mark.parametrize("expire", [0, 1, 2])
def test_a_list_whose_token_expired_is_begun_again_and_nothing_comes_twice(expire):
    lab = [event(f"e{n}", ("Pod", "w0"), note=str(n)) for n in range(25)]
    gathered = events(api(lab, page=10, expire=expire))
    assert sorted(int(row[3]) for row in gathered.rows) == list(range(25))
    assert any("expired" in each for each in gathered.warnings) == bool(expire)


def test_a_list_that_expires_again_and_again_is_an_error():
    lab = [event(f"e{n}", ("Pod", "w0")) for n in range(25)]
    with pytest.raises(TelemetryError, match=r"refused \(410\)"):
        events(api(lab, page=10, expire=100))


def lab(pods: list[dict[str, Any]], **source: Any) -> Lab:
    nodes = [node("n1", "10.1.0.1", gpus=2), node("n2", "10.1.0.2"), node("idle", "10.1.0.3", 8)]
    played = Kubernetes({"/api/v1/nodes": nodes, "/api/v1/namespaces/ray/pods": pods}, page=2)
    with serve(played) as url, Connection(Endpoint(url), Deadline(20), "the API") as connection:
        return read_lab(Source("ray", **source), Lister(connection))


def worker(name: str, machine: str, age: int, **labels: str) -> dict[str, Any]:
    created = f"2026-11-22T09:00:{age:02d}Z"
    marks = {"ray.io__node_type": "worker", "ray.io__group": "gpu", **labels}
    return pod(name, machine, f"10.2.0.{age}", created, **marks)


HEAD = pod("head-x", "n2", "10.2.0.9", "2026-11-22T09:00:00Z", **{"ray.io__node_type": "head"})
GATEWAY = pod("nginx-y", "n2", "10.2.0.8", "2026-11-22T09:00:00Z",
              **{"app.kubernetes.io__component": "gateway"})  # fmt: skip
OTHER = pod("operator", "n2", "10.2.0.7", "2026-11-22T09:00:00Z")


def test_pods_are_slots_by_rays_labels_and_run_on_their_machines():
    found = lab([
        worker("w-b", "n1", 2, **{"ray.io__worker_group_replica_index": "1"}),
        worker("w-a", "n2", 1, **{"ray.io__worker_group_replica_index": "0"}),
        HEAD, GATEWAY, OTHER,
    ])  # fmt: skip
    ids = {each.id for each in found.topology.components}
    assert ids == {
        "client/loadgen", "gateway/nginx", "head/ray", "replica/llm-0", "replica/llm-1",
        "service/llm", "node/n1", "node/n2", "gpu/n1.0", "gpu/n1.1",
    }  # fmt: skip
    assert found.placement.pods["w-b"] == "replica/llm-1"
    assert found.placement.nodes["10.1.0.1"] == "node/n1"
    assert found.placement.addresses["10.2.0.1"] == "replica/llm-0"
    edges = set(found.topology.edges)
    assert Edge("replica/llm-1", "node/n1", "runs_on") in edges
    assert Edge("gpu/n1.0", "node/n1", "part_of") in edges
    assert Edge("head/ray", "replica/llm-0", "calls") in edges
    assert Edge("client/loadgen", "gateway/nginx", "calls") in edges
    assert found.warnings == ()


def test_without_the_index_slots_go_by_age_and_a_warning_says_so():
    found = lab([worker("new", "n1", 5), worker("old", "n1", 1)])
    assert found.placement.pods == {"old": "replica/llm-0", "new": "replica/llm-1"}
    assert "slots go by the age of the pods: old, new" in found.warnings[0]
    assert Edge("client/loadgen", "replica/llm-0", "calls") in found.topology.edges


def test_two_groups_that_share_a_slot_must_be_told_apart():
    pods = [worker(f"w-{group}", "n1", 1, **{**INDEX, "ray.io__group": group}) for group in "ab"]
    with pytest.raises(TelemetryError, match=r"one component: replica/llm-0 \(a, b\); tell them"):
        lab(pods)
    rules = (("replica/llm-{ray.io/group}", {"ray.io/node-type": "worker"}),)
    found = lab(pods, components=rules)
    assert set(found.placement.pods.values()) == {"replica/llm-a", "replica/llm-b"}


def test_a_namespace_without_a_component_is_an_error_that_says_what_to_do():
    with pytest.raises(TelemetryError, match=r"none of its 1 pods is a component; say which"):
        lab([OTHER])


def test_a_kubeconfig_leads_to_the_cluster_and_its_token_stays_hidden(tmp_path: Path):
    with serve(api([event("a", ("Pod", "w0"))], token="s3cret")) as url:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "lab",
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "users": [{"name": "u", "user": {"token": "s3cret"}}],
                    "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
                }
            )
        )  # fmt: skip
        with connect(Source("ray", kubeconfig=kubeconfig), Deadline(20)) as connection:
            gathered = kubernetes_events.gather(connection, "ray", PLACES, WINDOW)
        assert len(gathered.rows) == 1
        assert "s3cret" not in f"{connection.asked}{connection.endpoint}"
        with pytest.raises(TelemetryError, match=r"kubeconfig .*absent"):
            connect(Source("ray", kubeconfig=kubeconfig, context="absent"), Deadline(20))
    with pytest.raises(TelemetryError, match=r"kubeconfig .*none"):
        connect(Source("ray", kubeconfig=tmp_path / "none"), Deadline(20))
