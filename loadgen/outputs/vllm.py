# SPDX-License-Identifier: Apache-2.0
"""``vllm.json``: the figures under the names, and by the definitions, of ``vllm bench serve``.

They count from the real send, over the successes alone, with the mean and the linear quantiles of
numpy; what that leaves out is in the summary. A pooled inter-token latency needs the time of each
frame, which the records don't keep: ``itl`` has no keys.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from loadgen.errors import saving
from loadgen.outputs.output import Output
from loadgen.records import Record
from loadgen.result import Result
from rcalab_common.files import write_json

NAME = "vllm.json"

_PERCENTILES = (50, 90, 95, 99)
_LATENCIES = {"ttft": "service_ttft_ms", "tpot": "tpot_ms", "e2el": "service_latency_ms"}


def check() -> None:
    """Nothing is needed."""


def write(result: Result) -> Path:
    """Write the file into a run's folder."""
    path = result.folder / NAME
    with saving(path):
        write_json(path, vllm_figures(result))
    return path


def vllm_figures(result: Result) -> dict[str, Any]:
    """Return the figures of a run as vLLM's benchmark names them."""
    summary, records = result.summary, result.measured()
    profile, slo = summary["profile"], summary["slo"]
    done = [record for record in records if record.success]
    # From the first send to the last end, as the benchmark takes it.
    span_ns = max((r.end_ns for r in records), default=0) - min(
        (r.sent_ns for r in records), default=0
    )
    duration_s = max(span_ns / 1e9, 1e-9)
    read = sum(record.prompt_tokens or 0 for record in done)
    written = sum(record.output_tokens or 0 for record in done)
    figures: dict[str, Any] = {
        "date": f"{datetime.fromisoformat(summary['start'][:19]):%Y%m%d-%H%M%S}",
        "backend": "openai-chat" if profile["api"]["endpoint"] == "chat" else "openai",
        "label": "loadgen",
        "model_id": profile["model"],
        "tokenizer_id": None,
        "num_prompts": summary["requests"]["scheduled"],
        "request_rate": profile["rate_per_s"] if profile["rate_per_s"] is not None else "inf",
        "burstiness": _burstiness(profile["arrivals"]),
        "max_concurrency": profile["closed"] and profile["closed"]["users"],
        "duration": duration_s,
        "completed": len(done),
        "failed": summary["requests"]["scheduled"] - len(done),
        "total_input_tokens": read,
        "total_output_tokens": written,
        "request_throughput": len(done) / duration_s,
        "request_goodput": slo["met"] / duration_s,
        "output_throughput": written / duration_s,
        "total_token_throughput": (read + written) / duration_s,
        "max_concurrent_requests": _most_at_once(records),
    }
    for key, name in _LATENCIES.items():
        figures |= _spread(key, [v for each in done if (v := getattr(each, name)) is not None])
    return figures


def _burstiness(arrivals: dict[str, Any]) -> float | str:
    """Return the shape of the gamma distribution of the gaps, infinite where they are equal."""
    kinds: dict[str, float | str] = {"poisson": 1.0, "gamma": arrivals["burstiness"]}
    return kinds.get(arrivals["distribution"], "inf")


def _most_at_once(records: Sequence[Record]) -> int:
    steps = sorted(
        [(record.sent_ns, 1) for record in records] + [(record.end_ns, -1) for record in records]
    )
    most = flying = 0
    for _, step in steps:
        flying += step
        most = max(most, flying)
    return most


def _spread(key: str, values: list[float]) -> dict[str, float]:
    # The benchmark writes zeros where there is nothing to rank.
    ordered = sorted(values) or [0.0]
    return {
        f"mean_{key}_ms": statistics.fmean(ordered),
        f"median_{key}_ms": _linear(ordered, 0.5),
        f"std_{key}_ms": statistics.pstdev(ordered),
        **{f"p{percent}_{key}_ms": _linear(ordered, percent / 100) for percent in _PERCENTILES},
    }


def _linear(ordered: Sequence[float], share: float) -> float:
    """Return numpy's default quantile: between the two nearest ranks, on a straight line."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


OUTPUT = Output("vllm", NAME, check, write)
