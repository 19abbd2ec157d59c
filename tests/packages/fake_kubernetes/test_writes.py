# SPDX-License-Identifier: Apache-2.0
"""Patches of every kind, and who owns a field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import (
    ConflictError,
    DynamicApiError,
    UnprocessibleEntityError,
)

from tests.fake_kubernetes.errors import ApiError
from tests.fake_kubernetes.patches import json_merge, json_patch, strategic_merge
from tests.packages.fake_kubernetes.objects import config_map, deployment, widget


def test_a_merge_patch_drops_what_is_null() -> None:
    # The example of RFC 7386, section 3.
    document = {
        "title": "Goodbye!",
        "author": {"givenName": "John", "familyName": "Doe"},
        "tags": ["example", "sample"],
        "content": "This will be unchanged",
    }
    patch = {
        "title": "Hello!",
        "phoneNumber": "+01-123-456-7890",
        "author": {"familyName": None},
        "tags": ["example"],
    }
    assert json_merge(document, patch) == {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["example"],
        "content": "This will be unchanged",
        "phoneNumber": "+01-123-456-7890",
    }


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/list/-", "value": 3}, {"list": [1, 2, 3], "a/b": 0}),
        ({"op": "remove", "path": "/list/0"}, {"list": [2], "a/b": 0}),
        ({"op": "replace", "path": "/a~1b", "value": 1}, {"list": [1, 2], "a/b": 1}),
        ({"op": "move", "from": "/a~1b", "path": "/c"}, {"list": [1, 2], "c": 0}),
        ({"op": "copy", "from": "/list/1", "path": "/c"}, {"list": [1, 2], "a/b": 0, "c": 2}),
        ({"op": "test", "path": "/list/0", "value": 1}, {"list": [1, 2], "a/b": 0}),
    ],
)
def test_a_json_patch_does_one_thing_after_the_other(
    operation: dict[str, Any], result: dict[str, Any]
) -> None:
    assert json_patch({"list": [1, 2], "a/b": 0}, [operation]) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "jump", "path": "/a"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as error:
        json_patch({"a": 1}, [operation])
    assert error.value.code == 422


def test_a_strategic_patch_knows_containers_by_name() -> None:
    spec = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}], "x": 1}
    patch = {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        "containers": [
            {"name": "a", "image": "2"},
            {"name": "c"},
            {"name": "b", "$patch": "delete"},
        ],
        "x": None,
    }
    assert strategic_merge(spec, patch) == {
        "containers": [{"name": "c"}, {"name": "a", "image": "2"}]
    }


def test_a_strategic_patch_replaces_lists_without_a_key() -> None:
    assert strategic_merge({"args": ["a", "b"]}, {"args": ["c"]}) == {"args": ["c"]}


def test_a_strategic_patch_drops_what_is_not_retained() -> None:
    spec = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic_merge(spec, patch) == {"strategy": {"type": "Recreate"}}


@pytest.mark.slow
def test_a_custom_resource_takes_no_strategic_patch(widgets: Any) -> None:
    widgets.create(body=widget())
    with pytest.raises(DynamicApiError) as error:
        widgets.patch(
            body=widget(),
            content_type="application/strategic-merge-patch+json",
            namespace="default",
        )
    assert error.value.status == 415


@pytest.fixture
def config_maps(dynamic: DynamicClient) -> Any:
    return dynamic.resources.get(api_version="v1", kind="ConfigMap")


def apply(resource: Any, body: dict[str, Any], manager: str, **options: Any) -> Any:
    return resource.server_side_apply(body=body, field_manager=manager, **options)


@pytest.mark.slow
class TestServerSideApply:
    def test_makes_what_is_not_there(self, config_maps: Any) -> None:
        made = apply(config_maps, config_map(a="1"), "us")
        (entry,) = made.metadata.managedFields
        assert (entry.manager, entry.operation) == ("us", "Apply")
        assert entry.fieldsV1.to_dict() == {"f:data": {"f:a": {}}}

    def test_leaves_the_fields_of_others_alone(self, config_maps: Any) -> None:
        apply(config_maps, config_map(a="1"), "us")
        both = apply(config_maps, config_map(b="2"), "them")
        assert both.data.to_dict() == {"a": "1", "b": "2"}

    def test_drops_what_its_manager_no_longer_names(self, config_maps: Any) -> None:
        apply(config_maps, config_map(a="1", b="2"), "us")
        assert apply(config_maps, config_map(a="1"), "us").data.to_dict() == {"a": "1"}

    def test_keeps_what_another_manager_names_too(self, config_maps: Any) -> None:
        apply(config_maps, config_map(a="1", b="2"), "us")
        apply(config_maps, config_map(b="2"), "them")
        kept = apply(config_maps, config_map(a="1"), "us")
        assert kept.data.to_dict() == {"a": "1", "b": "2"}

    def test_refuses_a_field_of_another(self, config_maps: Any, core: Any) -> None:
        core.create_namespaced_config_map("default", config_map(a="1"), field_manager="them")
        with pytest.raises(ConflictError) as error:
            apply(config_maps, config_map(a="2"), "us")
        status = json.loads(error.value.body)
        assert status["message"] == 'Apply failed with 1 conflict: conflict with "them": .data.a'

    def test_takes_it_by_force(self, config_maps: Any, core: Any) -> None:
        core.create_namespaced_config_map("default", config_map(a="1"), field_manager="them")
        taken = apply(config_maps, config_map(a="2"), "us", force_conflicts=True)
        assert taken.data.a == "2"
        assert [entry.manager for entry in taken.metadata.managedFields] == ["us"]

    def test_changes_nothing_the_second_time(self, config_maps: Any) -> None:
        first = apply(config_maps, config_map(a="1"), "us")
        second = apply(config_maps, config_map(a="1"), "us")
        assert first.metadata.resourceVersion == second.metadata.resourceVersion

    def test_knows_the_items_of_a_list_by_their_keys(self, dynamic: DynamicClient) -> None:
        deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
        apply(deployments, deployment(), "us")
        side = deployment(containers=[{"name": "side", "image": "none:2"}])
        both = apply(deployments, side, "them")
        names = [container.name for container in both.spec.template.spec.containers]
        assert names == ["main", "side"]

    def test_knows_the_lists_of_a_custom_kind_by_its_schema(self, widgets: Any) -> None:
        apply(widgets, widget(parts=[{"name": "a", "use": "x"}]), "us")
        both = apply(widgets, widget(parts=[{"name": "b", "use": "y"}]), "them")
        assert [part.name for part in both.spec.parts] == ["a", "b"]


@pytest.mark.slow
class TestCustomResources:
    def test_get_the_defaults_of_their_schema(self, widgets: Any) -> None:
        assert widgets.create(body=widget()).spec.colour == "red"

    @pytest.mark.parametrize(
        "spec",
        [{"size": "1"}, {"size": 0}, {"colour": "green"}, {"size": None}, {"port": True}],
    )
    def test_are_held_to_it(self, widgets: Any, spec: dict[str, Any]) -> None:
        with pytest.raises(UnprocessibleEntityError):
            widgets.create(body=widget(**spec))

    @pytest.mark.parametrize("port", [80, "http"])
    def test_may_have_a_number_or_a_name(self, widgets: Any, port: Any) -> None:
        assert widgets.create(body=widget(port=port)).spec.port == port

    def test_lose_fields_that_it_does_not_know(self, widgets: Any) -> None:
        made = widgets.create(body=widget(sise=1, free={"any": "thing"}))
        assert "sise" not in made.spec.to_dict()
        assert made.spec.free.to_dict() == {"any": "thing"}

    def test_are_refused_for_them_where_that_is_asked_for(self, widgets: Any) -> None:
        with pytest.raises(DynamicApiError) as error:
            widgets.create(body=widget(sise=1), query_params=[("fieldValidation", "Strict")])
        assert error.value.status == 400
        assert 'unknown field \\"spec.sise\\"' in error.value.body

    def test_go_with_their_definition(self, widgets: Any, dynamic: DynamicClient) -> None:
        widgets.create(body=widget())
        definitions = dynamic.resources.get(
            api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
        )
        definitions.delete(name="widgets.example.org")
        with pytest.raises(ApiException) as error:
            dynamic.request("get", "/apis/example.org/v1/widgets")
        assert error.value.status == 404
        assert definitions.get().items == []
