# SPDX-License-Identifier: Apache-2.0
"""The collectors read a line's level and time as the harvest of a host does.

Their expressions are Go's (RE2); what they use of it means the same to Python.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from rca_engine.telemetry.logs import _parse

VARS = Path(__file__).resolve().parents[3] / "roles/opentelemetry/vars/main/logs.yml"
LINES = {
    "nginx": "2026/11/22 16:43:37 [error] 12#12: *7 upstream timed out (110: Connection timed out)",
    "core": "[2026-11-22 16:43:37,123 W 512 530] (raylet) node_manager.cc:10: slow",
    "python": "2026-11-22 16:43:37,123\tINFO worker.py:1234 -- Connecting",
    "serve": "ERROR 2026-11-22 16:43:37,123 llm_LLMServer abc -- Health check failed",
    "worker": "(ServeReplica:llm:LLMServer pid=7) WARNING 2026-11-22 16:43:37,123 llm abc -- late",
    "vllm": "INFO 11-22 16:43:37 [loggers.py:116] Engine 000: running 3 reqs",
    "traceback": '  File "/app/engine.py", line 7, in step',
    "prose": "I waited. Errors may follow",
}
TIMED = {"core", "python", "serve", "worker"}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load(VARS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def operators(config: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The expressions of each list of operators, with what they are put together from."""
    environment = Environment(autoescape=False)  # noqa: S701 - no page
    found = {}
    for name in ("level", "core_level", "time"):
        parsers = [o for o in config[f"_opentelemetry_{name}"] if o["type"] == "regex_parser"]
        found[name] = [
            parser | {"regex": environment.from_string(parser["regex"]).render(config)}
            for parser in parsers
        ]
    return found


def match(parsers: list[dict[str, Any]], group: str, line: str) -> str | None:
    found = [m[group] for parser in parsers if (m := re.match(parser["regex"], line))]
    return found[-1] if found else None


@pytest.mark.parametrize("kind", LINES)
def test_levels_are_those_of_the_harvest(
    kind: str, operators: dict[str, list[dict[str, Any]]], config: dict[str, Any]
) -> None:
    line = LINES[kind]
    text = match([*operators["level"], *operators["core_level"]], "level", line)
    names = {
        each: level for level, all_ in config["_opentelemetry_levels"].items() for each in all_
    }
    level = None if text is None else names[text.lower()]
    assert {"warn": "warning"}.get(str(level), level) == _parse(line, 2026, UTC)[1]


@pytest.mark.parametrize("kind", LINES)
def test_times_are_those_of_the_harvest_where_a_line_names_a_year(
    kind: str, operators: dict[str, list[dict[str, Any]]]
) -> None:
    time = match(operators["time"], "time", LINES[kind])
    if kind in TIMED:
        assert time is not None
        seen = datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
        assert int(seen.timestamp() * 1000) * 1_000_000 == _parse(LINES[kind], 2026, UTC)[0]
    elif kind != "nginx":  # whose lines have the runtime's time
        assert time is None


def test_the_file_of_a_session_tells_its_pod(config: dict[str, Any]) -> None:
    parser = next(o for o in config["_opentelemetry_ray_path"] if o["type"] == "regex_parser")
    volume = "volumes/kubernetes.io~empty-dir/ray-logs/session_2026-11-22_16-43-37_1_1/logs"
    found = re.match(parser["regex"], f"/var/lib/kubelet/pods/3f2a-77/{volume}/serve/replica_1.log")
    assert found is not None
    assert found.groupdict() == {"uid": "3f2a-77", "file": "serve/replica_1.log"}
