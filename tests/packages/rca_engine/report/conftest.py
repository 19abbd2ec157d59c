# SPDX-License-Identifier: Apache-2.0
"""A small run to report on: three replicas, one of them starved of CPU for 45 s."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rca_engine.case import CaseWriter
from rca_engine.model import NS, Alert, CaseInfo, Component, Slo, Topology, Window
from rca_engine.schemas import load
from rca_engine.schemas.tables import TABLES
from rcalab_common.files import write_json
from rcalab_common.times import format_utc

START_NS = 1_795_363_200 * NS
LENGTH_S = 165
FAULT_S = (60.0, 105.2)
ALERT_S = 64.0
CULPRIT = "replica/llm-0"
REPLICAS = (CULPRIT, "replica/llm-1", "replica/llm-2")


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A whole case with its truth, and the answers of two methods."""
    write_json(tmp_path / "ground_truth.json", ground_truth())
    rng = np.random.default_rng(7)
    with CaseWriter(tmp_path) as writer:
        writer.write_table("metrics", metrics(rng))
        writer.write_table("requests", requests(rng))
        writer.write(case_info(), topology(), load("metrics"), manifest())
    (tmp_path / "diagnosis").mkdir()
    for method, scores in (("baro", (812.4, 37.1, 9.6)), ("nsigma", (291.0, 55.2, 31.9))):
        write_json(tmp_path / "diagnosis" / f"{method}.json", diagnosis(method, scores))
    return tmp_path


@pytest.fixture
def edit(run_dir: Path) -> Callable[[str, Callable[[dict[str, Any]], None]], None]:
    """Change one JSON file of the case."""

    def change(name: str, change_document: Callable[[dict[str, Any]], None]) -> None:
        path = run_dir / name
        document = json.loads(path.read_text())
        change_document(document)
        write_json(path, document)

    return change


def case_info() -> CaseInfo:
    return CaseInfo(
        run_id="demo-cpu-starvation-run-01",
        experiment="demo",
        scenario="cpu_starvation",
        run=1,
        seed=7,
        window=Window(START_NS, at(LENGTH_S)),
        versions={"vllm": "0.19.0", "ray": "2.55.0"},
        slo=Slo(ttft_ms=1500.0, latency_ms=4000.0, target=0.9, window_s=5.0),
        alert=Alert(at(ALERT_S), "client/loadgen", "client_ttft_p95_s", 0.7, 0.9),
    )


def topology() -> Topology:
    components = tuple(Component(*name.split("/")) for name in REPLICAS)
    return Topology((Component("head", "ray"), *components), ())


def ground_truth() -> dict[str, Any]:
    steps = (58.9, 59.1, FAULT_S[0], 105.0, 105.05, FAULT_S[1])
    names = ("requested", "applied", "effect_first_seen", "revert_requested", "reverted")
    times = dict(zip((*names, "revert_verified"), map(at, steps), strict=True))
    return {
        "format": 1,
        "fault": "F01",
        "name": "cpu_starvation",
        "sham": False,
        "mechanism": "cgroup_quota",
        "parameters": {"cpu_limit_cores": 0.2, "duration_s": 45},
        "target": {"component": CULPRIT, "pod": "replica-0", "host": "localhost"},
        "root_causes": [{"component": CULPRIT, "metrics": ["cpu_throttled_periods_rate"]}],
        "times": {step: format_utc(ns) for step, ns in times.items()}
        | {"steady_state_regained": None},
        "dose": {
            "intended": {"cpu_limit_cores": 0.2},
            "measured": {"cpu_limit_cores": 0.2, "cpu_usage_cores": 0.198, "throttled_ratio": 0.97},
        },
        "clock_offsets_ms": {"controller": 0.0},
        "reverted_by": "controller",
        "outcome": "effective",
        "messages": [],
        "versions": {},
    }


def manifest() -> dict[str, Any]:
    gap = {
        "start": format_utc(at(66)),
        "end": format_utc(at(71)),
        "seconds": 5.0,
        "expected": True,
        "reason": "the pod was starved of CPU",
    }
    return {
        "sources": {"prometheus": {"rows": 12_400, "warnings": []}},
        "completeness": [
            {
                "component": replica,
                "metric": metric,
                "required": True,
                "series": [metric],
                "expected": LENGTH_S,
                "received": LENGTH_S - (4 if replica == CULPRIT else 0),
                "ratio": 0.976 if replica == CULPRIT else 1.0,
                "gaps": [gap] if replica == CULPRIT else [],
            }
            for replica in REPLICAS
            for metric in ("cpu_usage_cores", "cpu_throttled_periods_rate")
        ],
    }


def metrics(rng: np.random.Generator) -> pd.DataFrame:
    seconds = np.arange(LENGTH_S)
    starved = (seconds >= FAULT_S[0]) & (seconds <= FAULT_S[1])
    frames = []
    for replica in REPLICAS:
        hit = starved if replica == CULPRIT else np.zeros(LENGTH_S, dtype=bool)
        values = {
            "cpu_usage_cores": np.where(hit, 0.2, 0.55) + rng.normal(0, 0.02, LENGTH_S),
            "cpu_throttled_periods_rate": np.where(hit, 9.7 + rng.normal(0, 0.1, LENGTH_S), 0.0),
            "engine_ttft_mean_s": np.where(hit, 1.9, 0.12) * rng.lognormal(0, 0.15, LENGTH_S),
            "memory_working_set_bytes": 1.4e9 + rng.normal(0, 1e6, LENGTH_S).cumsum(),
        }
        for metric, value in values.items():
            kept = ~((seconds > 66) & (seconds < 71) & hit)
            stamps = pd.to_datetime(START_NS + seconds[kept] * NS, utc=True)
            frames.append(
                pd.DataFrame(
                    {
                        "timestamp": stamps,
                        "component": replica,
                        "metric": metric,
                        "value": value[kept],
                    }
                )
            )
    return pd.concat(frames)


def requests(rng: np.random.Generator) -> dict[str, list[Any]]:
    due = np.arange(2.0, LENGTH_S - 10, 0.4)
    starved = (due >= FAULT_S[0]) & (due <= FAULT_S[1]) & (np.arange(len(due)) % 3 == 0)
    ttft = np.where(starved, rng.uniform(1.5, 6.0, len(due)), rng.lognormal(-2, 0.2, len(due)))
    rows = []
    for index, (start, wait, slow) in enumerate(zip(due, ttft, starved, strict=True)):
        failed = bool(slow) and index % 15 == 0
        end = start + wait + (6.0 if slow else 0.9)
        ttft_ms, latency_ms = (None, None) if failed else (wait * 1e3, (end - start) * 1e3)
        rows.append(
            dict.fromkeys(TABLES["requests"].names)
            | {
                "index": index,
                "request_id": f"{index:032x}",
                "traceparent": f"00-{index:032x}-{index:016x}-01",
                "phase": "warmup" if start < 10 else "measured",
                "scheduled_ns": at(start),
                "sent_ns": at(start),
                "end_ns": at(end),
                "first_token_ns": None if failed else at(start + wait),
                "last_token_ns": None if failed else at(end),
                "outcome": "first_byte_timeout" if failed else "success",
                "output_tokens": None if failed else 32,
                "response_ttft_ms": ttft_ms,
                "response_latency_ms": latency_ms,
            }
        )
    return {name: [row[name] for row in rows] for name in TABLES["requests"].names}


def diagnosis(method: str, scores: tuple[float, ...]) -> dict[str, Any]:
    strongest = [
        (CULPRIT, "cpu_throttled_periods_rate", 0.0, 9.7, "1/s"),
        (CULPRIT, "engine_ttft_mean_s", 0.12, 1.93, "s"),
        (CULPRIT, "cpu_usage_cores", 0.55, 0.2, "cores"),
        ("replica/llm-1", "memory_working_set_bytes", 1.4e9, 1.41e9, "bytes"),
        ("replica/llm-2", "engine_ttft_mean_s", 0.12, 0.13, "s"),
    ]
    return {
        "format": 1,
        "method": method,
        "time_source": "alert",
        "time": format_utc(at(ALERT_S)),
        "status": "ok",
        "reason": None,
        "seconds": 0.0213,
        "seed": 7,
        "components": [
            {"rank": rank, "component": name, "score": score}
            for rank, (name, score) in enumerate(zip(REPLICAS, scores, strict=True), start=1)
        ],
        "metrics": [
            {
                "rank": rank,
                "component": component,
                "metric": metric,
                "score": scores[0] / rank,
                "evidence": {
                    "before": before,
                    "after": after,
                    "direction": "up" if after > before else "down",
                    "unit": unit,
                    "first_deviation": format_utc(at(FAULT_S[0] + 1)),
                },
            }
            for rank, (component, metric, before, after, unit) in enumerate(strongest, start=1)
        ],
    }
