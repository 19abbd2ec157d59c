# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite of two faults on two replicas, and a lab that has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.expand import (
    Defaults,
    Lab,
    expand,
)
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.folder import Folder
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.plan import Plan, Run
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.suite import (
    Times,
    read_suite,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults import registry

LAB = Lab(("gateway/nginx", "head/ray", "replica/llm-0", "replica/llm-1"), "netns", (2,))
DEFAULTS = Defaults(
    seed=0,
    load={"rate_per_s": 2.0, "prompt_tokens": 64, "output_tokens": 32},
    times=Times(warmup_s=5, steady_state_s=15, baseline_s=50, fault_s=45, recovery_s=15),
)
SUITE: dict[str, Any] = {
    "seed": 1,
    "repetitions": 2,
    "scenarios": [{"name": "short"}],
    "faults": ["F01", {"fault": "F06", "parameters": {"delay_ms": 500}}],
    "targets": ["replica/llm-0", "replica/llm-1"],
    "shams": 2,
}

MakePlan = Callable[..., Plan]


def make(lab: Lab = LAB, **changes: Any) -> Plan:
    """Expand the suite with some of its keys changed; None takes a key away."""
    data = {key: value for key, value in {**SUITE, **changes}.items() if value is not None}

    def find(name: str) -> tuple[Any, str, str]:
        return {}, name, f"scenarios/{name}.yml"

    return expand(read_suite(data, "suite", find), "first", lab, DEFAULTS, registry.faults())


@pytest.fixture
def make_plan() -> MakePlan:
    return make


@pytest.fixture
def plan() -> Plan:
    return make()


@pytest.fixture
def folder(tmp_path: Path, plan: Plan) -> Folder:
    """An experiment whose plan is kept and of which nothing is done."""
    experiment = Folder(tmp_path / "first")
    experiment.adopt(plan, write=True)
    return experiment


@pytest.fixture
def fault_run(plan: Plan) -> Run:
    """The first run of the plan that has a fault with a dose."""
    return next(run for run in plan.runs if not run.sham)


@pytest.fixture
def sham_run(plan: Plan) -> Run:
    return next(run for run in plan.runs if run.sham)


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def measure() -> Callable[..., None]:
    """Leave in a run's folder what its load and its fault leave."""

    def leave(
        path: Path,
        *,
        breach: str | None = "2026-11-25T04:00:04.000000000Z",
        applied: str | None = "2026-11-25T04:00:00.000000000Z",
        outcome: str = "effective",
        interrupted: bool = False,
    ) -> None:
        first = None if breach is None else {"time": breach}
        summary = {"interrupted": interrupted, "slo": {"first_breach": first}}
        write_json(path / "load" / "summary.json", summary)
        truth = {"outcome": outcome, "messages": ["the pod died"], "times": {"applied": applied}}
        write_json(path / "ground_truth.json", truth)

    return leave


@pytest.fixture
def harvest() -> Callable[[Path], None]:
    """Leave a whole case, as harvest does: ``case.json`` comes last."""

    def leave(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        (path / "metrics.parquet").write_bytes(b"rows")
        write_json(path / "case.json", {"format": 1})
        files = {
            name: hashlib.sha256((path / name).read_bytes()).hexdigest()
            for name in ("metrics.parquet", "case.json")
        }
        write_json(path / "manifest.json", {"files": files})

    return leave


@pytest.fixture
def diagnose() -> Callable[[Path], None]:
    def leave(path: Path) -> None:
        write_json(path / "diagnosis" / "baro.json", {})
        (path / "report.html").touch()

    return leave
