# SPDX-License-Identifier: Apache-2.0
"""Objects come, change and go as on a real server, seen by the real Python client."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient

from tests.fake_kubernetes import FakeKubernetes
from tests.packages.fake_kubernetes.objects import config_map, deployment

pytestmark = pytest.mark.slow


def status_of(error: pytest.ExceptionInfo[ApiException]) -> dict[str, Any]:
    return json.loads(error.value.body)


def test_what_is_not_there_is_not_found(core: Any) -> None:
    with pytest.raises(ApiException) as error:
        core.read_namespaced_config_map("one", "default")
    status = status_of(error)
    assert (status["code"], status["reason"]) == (404, "NotFound")
    assert status["message"] == 'configmaps "one" not found'


def test_a_namespace_must_be_there_first(core: Any) -> None:
    body = {**config_map(), "metadata": {"name": "one", "namespace": "nowhere"}}
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map("nowhere", body)
    assert status_of(error)["message"] == 'namespaces "nowhere" not found'


def test_a_name_is_given_once(core: Any) -> None:
    core.create_namespaced_config_map("default", config_map())
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map("default", config_map())
    assert (error.value.status, status_of(error)["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize("name", ["Upper", "a_b", "-a", ""])
def test_a_bad_name_is_refused(core: Any, name: str) -> None:
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map("default", config_map(name))
    assert (error.value.status, status_of(error)["reason"]) == (422, "Invalid")


def test_a_name_is_made_up_where_only_its_beginning_is_given(core: Any) -> None:
    body = {**config_map(), "metadata": {"generateName": "made-"}}
    made = [core.create_namespaced_config_map("default", body).metadata for _ in range(2)]
    assert all(m.name.startswith("made-") for m in made)
    assert made[0].name != made[1].name
    assert made[0].uid != made[1].uid


def test_the_second_of_two_writers_is_told(core: Any) -> None:
    read = core.create_namespaced_config_map("default", config_map(a="1"))
    core.patch_namespaced_config_map("one", "default", {"data": {"a": "2"}})
    read.data = {"a": "3"}
    with pytest.raises(ApiException) as error:
        core.replace_namespaced_config_map("one", "default", read)
    assert (error.value.status, status_of(error)["reason"]) == (409, "Conflict")


def test_a_write_that_changes_nothing_makes_no_new_version(core: Any) -> None:
    before = core.create_namespaced_config_map("default", config_map(a="1"))
    after = core.patch_namespaced_config_map("one", "default", {"data": {"a": "1"}})
    assert after.metadata.resource_version == before.metadata.resource_version


def test_a_generation_counts_specifications_not_statuses(apps: Any) -> None:
    made = apps.create_namespaced_deployment("default", deployment())
    assert made.metadata.generation == 1
    apps.patch_namespaced_deployment("web", "default", {"metadata": {"labels": {"x": "y"}}})
    changed = apps.patch_namespaced_deployment("web", "default", {"spec": {"replicas": 2}})
    assert changed.metadata.generation == 2
    assert changed.status.observed_generation == 1
    assert apps.read_namespaced_deployment("web", "default").status.observed_generation == 2


def test_a_dry_run_answers_and_keeps_nothing(core: Any) -> None:
    made = core.create_namespaced_config_map("default", config_map(a="1"), dry_run="All")
    assert made.data == {"a": "1"}
    with pytest.raises(ApiException):
        core.read_namespaced_config_map("one", "default")
    core.create_namespaced_config_map("default", config_map(a="1"))
    core.patch_namespaced_config_map("one", "default", {"data": {"a": "2"}}, dry_run="All")
    core.delete_namespaced_config_map("one", "default", dry_run="All")
    assert core.read_namespaced_config_map("one", "default").data == {"a": "1"}


def test_secrets_come_back_encoded(core: Any) -> None:
    body = client.V1Secret(
        metadata=client.V1ObjectMeta(name="one"), string_data={"key": "value"}, type="Opaque"
    )
    core.create_namespaced_secret("default", body)
    assert core.read_namespaced_secret("one", "default").data == {"key": "dmFsdWU="}


def test_a_list_comes_in_pages(core: Any) -> None:
    for number in range(5):
        core.create_namespaced_config_map("default", config_map(f"page-{number}"))
    names, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(
            "default", limit=2, _continue=token, field_selector="metadata.name!=kube-root-ca.crt"
        )
        assert len(page.items) <= 2
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert names == [f"page-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=gpu", ["a"]),
        ("tier!=gpu", ["b", "c"]),
        ("tier in (gpu, cpu)", ["a", "b"]),
        ("tier notin (gpu,cpu)", ["c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier,app=x", ["b"]),
    ],
)
def test_labels_select(core: Any, selector: str, found: list[str]) -> None:
    for name, labels in {"a": {"tier": "gpu"}, "b": {"tier": "cpu", "app": "x"}, "c": {}}.items():
        body = {**config_map(), "metadata": {"name": name, "labels": labels}}
        core.create_namespaced_config_map("default", body)
    items = core.list_namespaced_config_map("default", label_selector=selector).items
    assert [i.metadata.name for i in items if i.metadata.name in "abc"] == found


def test_a_watch_sees_what_comes_into_view_and_leaves_it(core: Any) -> None:
    seen: list[tuple[str, str]] = []
    version = core.list_namespaced_config_map("default").metadata.resource_version

    def look() -> None:
        stream = watch.Watch().stream(
            core.list_namespaced_config_map,
            "default",
            label_selector="seen=yes",
            resource_version=version,
        )
        for event in stream:
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 3:
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    core.create_namespaced_config_map("default", config_map())
    for labels in ({"seen": "yes"}, {"seen": "yes", "more": "x"}, {"seen": None}):
        core.patch_namespaced_config_map("one", "default", {"metadata": {"labels": labels}})
    watcher.join(timeout=20)
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


def test_a_namespace_takes_its_objects_along(core: Any, apps: Any) -> None:
    core.create_namespace({"metadata": {"name": "lab"}})
    body = deployment()
    body["metadata"]["namespace"] = "lab"
    apps.create_namespaced_deployment("lab", body)
    core.delete_namespace("lab")
    with pytest.raises(ApiException) as error:
        core.read_namespace("lab")
    assert error.value.status == 404
    assert core.list_pod_for_all_namespaces().items == []


def test_a_finalizer_holds_an_object_and_its_namespace(core: Any) -> None:
    core.create_namespace({"metadata": {"name": "lab"}})
    held = {"metadata": {"name": "one", "finalizers": ["example.org/hold"]}}
    core.create_namespaced_config_map("lab", held)
    core.delete_namespace("lab")
    assert core.read_namespace("lab").status.phase == "Terminating"
    assert core.read_namespaced_config_map("one", "lab").metadata.deletion_timestamp
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map("lab", {"metadata": {"name": "two"}})
    assert error.value.status == 403

    core.patch_namespaced_config_map("one", "lab", {"metadata": {"finalizers": None}})
    with pytest.raises(ApiException) as error:
        core.read_namespace("lab")
    assert error.value.status == 404


@pytest.mark.parametrize(("policy", "left"), [("Foreground", 0), ("Background", 0), ("Orphan", 1)])
def test_what_an_object_owns_goes_with_it_or_stays(
    core: Any, apps: Any, policy: str, left: int
) -> None:
    apps.create_namespaced_deployment("default", deployment())
    apps.delete_namespaced_deployment("web", "default", propagation_policy=policy)
    assert len(apps.list_namespaced_replica_set("default").items) == left
    assert len(core.list_namespaced_pod("default").items) == left


def test_a_precondition_protects_another_object_of_the_name(core: Any) -> None:
    core.create_namespaced_config_map("default", config_map())
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    with pytest.raises(ApiException) as error:
        core.delete_namespaced_config_map("one", "default", body=options)
    assert error.value.status == 409


def test_what_is_fixed_stays_fixed(apps: Any) -> None:
    apps.create_namespaced_deployment("default", deployment())
    other = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
    with pytest.raises(ApiException) as error:
        apps.patch_namespaced_deployment("web", "default", other)
    assert error.value.status == 422


def test_a_wrong_token_is_refused(fake_kubernetes: FakeKubernetes) -> None:
    configuration = client.Configuration(host=fake_kubernetes.url)
    configuration.api_key = {"authorization": "Bearer wrong"}
    with pytest.raises(ApiException) as error:
        client.CoreV1Api(client.ApiClient(configuration)).list_namespace()
    assert error.value.status == 401


def test_events_have_two_faces(dynamic: DynamicClient, core: Any) -> None:
    # A pod that fits no node says so in an event.
    spec = {"containers": [{"name": "a"}], "nodeSelector": {"no": "such"}}
    core.create_namespaced_pod("default", {"metadata": {"name": "one"}, "spec": spec})
    (old,) = core.list_namespaced_event("default", field_selector="reason=FailedScheduling").items
    events = dynamic.resources.get(api_version="events.k8s.io/v1", kind="Event")
    (new,) = events.get(namespace="default", field_selector="regarding.name=one").items
    assert new.note == old.message
    assert new.regarding.uid == old.involved_object.uid
