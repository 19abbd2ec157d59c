# SPDX-License-Identifier: Apache-2.0
"""The table of names: what each version calls a thing leads to one metric in one unit."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine import schemas
from rca_engine.model import NS
from rca_engine.telemetry.derive import PARTS, derive
from rca_engine.telemetry.harvest import vocabulary
from rca_engine.telemetry.samples import Samples, label_key

METRICS = schemas.load("metrics")["metrics"]
GRID = np.array([10 * NS], dtype=np.int64)


def one(name: str, job: str, component: str, rate: float, **labels: str) -> dict[str, float]:
    """Derive all metrics from one series that is ``rate`` now, and grew by it each second."""
    key = label_key({"component": component, "job": job, "instance": "a", **labels})
    points = {second * NS: rate * second / 10 for second in range(11)}
    derived = derive(Samples.pack({(name, key): points}), METRICS, GRID)
    return {metric: derived.matrix[0, at] for at, (_, metric) in enumerate(derived.keys)}


def test_the_table_fits_its_schema():
    schemas.validate(schemas.load("metrics"), "metrics", "metrics.json")


def test_what_ray_prefixes_is_found_without_ray_too():
    for name, entry in METRICS.items():
        for part in PARTS:
            names = entry["source"].get(part, [])
            under_ray = {each.removeprefix("ray_vllm_") for each in names if "ray_vllm_" in each}
            bare = {each.removeprefix("vllm:") for each in names if each.startswith("vllm:")}
            assert under_ray == bare, (name, part)


@pytest.mark.parametrize(
    ("metric", "old", "new", "ratio"),
    [
        ("gpu_sm_clock_mhz", "DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_SM_CLOCK_HERTZ", 1e6),
        ("gpu_utilisation_percent", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO", 0.01),
        ("gpu_framebuffer_used_mib", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_USED_BYTES", 2**20),
        ("gpu_power_w", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS", 1),
        (
            "gpu_energy_w",
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
            "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL",
            1e-3,
        ),
        (
            "gpu_power_throttled_rate",
            "DCGM_FI_DEV_POWER_VIOLATION",
            "DCGM_FI_DEV_GPU_POWER_THROTTLE_SECONDS_TOTAL",
            1e-9,
        ),
    ],
)
def test_dcgm_before_and_after_its_renaming_is_one_metric_in_one_unit(metric, old, new, ratio):
    before = one(old, "dcgm", "gpu/n1.0", 700.0)
    after = one(new, "dcgm", "gpu/n1.0", 700.0 * ratio)
    assert after == pytest.approx(before)
    assert metric in before


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("engine_kv_cache_usage_ratio", "vllm:gpu_cache_usage_perc"),
        ("engine_kv_cache_usage_ratio", "ray_vllm_kv_cache_usage_perc"),
        ("engine_requests_swapped", "vllm:num_requests_swapped"),
        ("engine_generation_tokens_rate", "vllm:generation_tokens_total"),
    ],
)
def test_names_that_vllm_gave_up_still_count(metric, name):
    assert metric in one(name, "ray", "replica/llm-0", 1.0)


def test_what_only_a_cluster_has_is_not_looked_for_on_a_host():
    host, cluster = (vocabulary(each)["metrics"] for each in ("host", "kubernetes"))
    assert "engine_ttft_p95_s" in cluster.keys() - host.keys()
    assert host.keys() < cluster.keys()


def test_a_metric_that_must_exist_somewhere_has_no_platform():
    assert not [
        name for name, entry in METRICS.items() if entry["required"] and "platform" in entry
    ]
