# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part, with a stand-in for rca_engine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import telemetry_harvest


class EngineError(Exception):
    """Plays the engine's base error."""


def case(path: Path) -> SimpleNamespace:
    gap = {"seconds": 4.0, "start": "S", "expected": False}
    entry = {"component": "head/ray", "metric": "up", "required": True, "gaps": [gap]}
    explained = {**entry, "component": "replica/llm-0", "gaps": [{**gap, "expected": True}]}
    alert = {"time": "T", "component": "client/loadgen"}
    return SimpleNamespace(
        path=path,
        info=SimpleNamespace(to_json=lambda: {"alert": alert}),
        manifest={
            "sources": {
                "prometheus": {"rows": 9, "warnings": ["truncated"]},
                "loki": {"rows": 1, "warnings": ["1 lines belong to no component"]},
                "logs": {"rows": 2, "warnings": ["a.log: 7 lines have no time of their own"]},
            },
            "completeness": [entry, explained],
        },
    )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put a stand-in in the engine's place; it records what it was asked."""
    asked: list[Any] = []

    def harvest(plan: Any) -> Path:
        asked.append(plan)
        return Path(plan.run_dir)

    stand_in = {
        "RCA_ENGINE_ERROR": None,
        "RcaEngineError": EngineError,
        "Case": SimpleNamespace(load=case),
        "Harvest": SimpleNamespace,
        "LogSource": lambda *parts: parts,
        "Slo": SimpleNamespace,
        "parse_window": lambda start, end: (start, end),
        "parse_settings": lambda document: ("cluster", document["namespace"]),
        "harvest": harvest,
    }
    for name, value in stand_in.items():
        monkeypatch.setattr(telemetry_harvest, name, value, raising=False)
    return SimpleNamespace(asked=asked)


def run(params: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    base = {"run_dir": "/run-01", "prometheus_url": "http://p", "pods_file": "/pods.json"}
    asked = {key: value for key, value in {**base, **params}.items() if value is not None}
    with patch_module_args(asked), pytest.raises(SystemExit):
        telemetry_harvest.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_the_options_reach_the_engine(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    log = {"component": "gateway/nginx", "stream": "access", "path": "/a.log"}
    run({"slo": {"ttft_ms": 600}, "logs": [log], "seed": 4, "versions": {"ray": 2.6}}, capsys)
    [plan] = engine.asked
    assert vars(plan.slo) == {"ttft_ms": 600, "latency_ms": 4000, "target": 0.9, "window_s": 5}
    assert plan.logs == [("gateway/nginx", "access", Path("/a.log"))]
    assert (plan.seed, plan.engine, plan.versions) == (4, "vllm", {"ray": "2.6"})
    assert plan.window == (None, None)


def test_the_result_tells_the_alert_and_the_gaps_that_nothing_explains(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run({}, capsys)
    assert (result["changed"], result["case"]) == (True, "/run-01")
    assert result["alert"]["component"] == "client/loadgen"
    assert result["rows"] == {"prometheus": 9, "loki": 1, "logs": 2}
    assert result["gaps"] == ["head/ray up: 4.0 s from S"]
    assert "prometheus: truncated" in str(result["warnings"])
    assert "loki: 1 lines belong to no component" in str(result["warnings"])
    assert "no time of their own" not in str(result["warnings"])


def test_check_mode_asks_nothing(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run({"_ansible_check_mode": True}, capsys)
    assert result["changed"] is True
    assert engine.asked == []


def test_what_the_engine_refuses_is_one_message(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def harvest(_plan: Any) -> Path:
        raise EngineError("Prometheus can't be reached")

    monkeypatch.setattr(telemetry_harvest, "harvest", harvest)
    result = run({}, capsys)
    assert (result["failed"], result["msg"]) == (True, "Prometheus can't be reached")
    assert "exception" not in result


def test_without_the_package_the_message_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_harvest, "RCA_ENGINE_ERROR", "Traceback")
    assert "-m pip install" in run({}, capsys)["msg"]


def test_half_a_window_is_refused(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "required together" in run({"start": "2026-01-01T00:00:00Z"}, capsys)["msg"]


ON_HOST = {"prometheus_url": "http://p", "pods_file": "/pods.json"}


def test_settings_of_a_cluster_take_the_place_of_the_lab_on_one_machine(
    engine: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run({**dict.fromkeys(ON_HOST), "settings": {"namespace": "ray"}}, capsys)
    [plan] = engine.asked
    assert (plan.cluster, plan.prometheus_url, plan.pods_file) == (("cluster", "ray"), "", None)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict.fromkeys(ON_HOST), "one of the following is required: prometheus_url, settings"),
        ({"settings": {"namespace": "ray"}}, "mutually exclusive: prometheus_url|settings"),
        ({"pods_file": None}, "required together: prometheus_url, pods_file"),
    ],
)
def test_where_the_lab_is_must_be_said_in_one_way(
    params: dict[str, Any],
    message: str,
    engine: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in run(params, capsys)["msg"]
