# SPDX-License-Identifier: Apache-2.0
"""Every value that a role sets is one that its chart has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.packages.collection import cluster_roles
from tests.packages.collection.chart_values import (
    NoValuesError,
    chart_folder,
    chart_values,
    merged,
    unknown_values,
)

CHART = {
    "replicas": 1,
    "resources": {},
    "affinity": None,
    "ports": [{"name": "http"}],
    "image": {"tag": "1", "pull": {"policy": "Always"}},
    "config": "text: here",
}


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        ({"replicas": 2, "image": {"pull": {"policy": "Never"}}}, []),
        ({"replica": 2}, ["replica"]),
        ({"image": {"pull": {"polixy": "Never"}, "tag": "2"}}, ["image.pull.polixy"]),
        ({"image": {"pul": {"policy": "Never"}}}, ["image.pul"]),
        ({"resources": {"limits": {"cpu": 1}}, "affinity": {"any": "thing"}}, []),
        ({"ports": [{"nmae": "http"}]}, []),
        ({"config": None}, []),
        ({"config": {"text": "there"}}, ["config (a map where the chart has text)"]),
        ({"image": "nginx:1"}, ["image (text where the chart has a map)"]),
    ],
)
def test_a_value_that_the_chart_has_not_is_found(
    values: dict[str, Any], unknown: list[str]
) -> None:
    assert unknown_values(values, CHART) == unknown


@pytest.mark.parametrize(
    ("free_form", "unknown"),
    [
        (["image.pull"], []),
        (["image.*"], []),
        (["image.pull.polixy"], []),
        (["image.pull.other"], ["image.pull.polixy"]),
        (["pull"], ["image.pull.polixy"]),
        (["image"], []),
    ],
)
def test_a_path_may_be_free(free_form: list[str], unknown: list[str]) -> None:
    assert unknown_values({"image": {"pull": {"polixy": ""}}}, CHART, free_form) == unknown


def test_the_values_of_the_other_loki_chart_are_found(test_data: Path) -> None:
    # A known system gave the chart loki-stack the names of the chart loki. Here it is the other way
    # round: helm installs either and says nothing.
    values = {
        "loki": {"enabled": True, "isDefault": True, "persistence": {"enabled": True}},
        "promtail": {"enabled": True},
        "singleBinary": {"replicas": 1},
    }
    known = chart_values(test_data / "schemas/charts", "loki")
    assert unknown_values(values, known) == [
        "loki.enabled",
        "loki.isDefault",
        "loki.persistence",
        "promtail",
    ]


def test_the_values_of_sub_charts_are_known(test_data: Path) -> None:
    known = chart_values(test_data / "schemas/charts", "kube-prometheus-stack")
    values = {"grafana": {"sidecar": {"dashboards": {"searchNamespace": "ALL"}}, "adminPw": "x"}}
    assert unknown_values(values, known) == ["grafana.adminPw"]


def test_values_are_laid_over_each_other_as_helm_does() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None, "e": 3}, "d": [2]}) == {
        "a": {"c": 2, "e": 3},
        "d": [2],
    }


@pytest.fixture(params=cluster_roles.defined("releases"))
def releases(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return cluster_roles.rendered(request.param, "releases")


@pytest.mark.slow
def test_releases_are_charts_that_are_pinned(releases: list[dict[str, Any]]) -> None:
    pins = cluster_roles.variables("artifacts")["_artifacts_pins"]["charts"]
    assert [release["chart"] for release in releases if release["chart"] not in pins] == []
    assert all(release["name"] and release["namespace"] for release in releases)


@pytest.mark.slow
def test_releases_set_what_their_charts_have(
    releases: list[dict[str, Any]], test_data: Path
) -> None:
    charts = test_data / "schemas/charts"
    unknown: list[str] = []
    for release in releases:
        chart, values = release["chart"], release.get("values") or {}
        free = [e["path"] for e in cluster_roles.SETTINGS["free_form"] if e["chart"] == chart]
        try:
            known = chart_values(charts, chart)
        except NoValuesError:
            assert chart in cluster_roles.SETTINGS["charts"], (
                f"the test data have no values of {chart}; say why in cluster_roles.yml, charts"
            )
            continue
        unknown += [f"{chart}: {path}" for path in unknown_values(values, known, free)]
        schema = chart_folder(charts, chart) / "values.schema.json"
        if schema.is_file():
            checker = jsonschema.Draft202012Validator(json.loads(schema.read_text("utf-8")))
            unknown += [
                f"{chart}: {error.json_path}: {error.message}"
                for error in checker.iter_errors(merged(known, values))
            ]
    assert unknown == [], "no such value in the chart: helm would ignore it"


def test_each_exemption_is_used_and_has_a_reason(test_data: Path) -> None:
    charts = test_data / "schemas/charts"
    for exemption in cluster_roles.SETTINGS["free_form"]:
        assert exemption["reason"].strip(), exemption
        chart_folder(charts, exemption["chart"])
    for chart, reason in cluster_roles.SETTINGS["charts"].items():
        assert reason.strip(), chart
        with pytest.raises(NoValuesError):
            chart_folder(charts, chart)
