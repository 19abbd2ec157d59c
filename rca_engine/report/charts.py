# SPDX-License-Identifier: Apache-2.0
"""The charts of the report: the client's time line and the strongest metrics of a ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from rca_engine.case import Case
from rca_engine.model import NS
from rca_engine.report.figures import Floats, TimeAxis, figure
from rca_engine.report.words import change
from rcalab_common.charts import Chart, dots, level, line
from rcalab_common.times import parse_utc
from rcalab_common.words import quantity, seconds

_RATE_WINDOW_S = 5.0
_DRAWN_REQUESTS = 4000
_DRAWN_METRICS = 8


def client_charts(case: Case, axis: TimeAxis) -> list[Chart]:
    """Return the client's time line: TTFT, requests and tokens; nothing without requests."""
    requests = case.table("requests")
    if requests.empty:
        return []
    return [_ttft(case, axis, requests), _requests(axis, requests), _tokens(axis, requests)]


def metric_charts(case: Case, axis: TimeAxis, diagnosis: Mapping[str, Any]) -> list[Chart]:
    """Return the strongest metrics of one diagnosis, with the levels that it compared."""
    if diagnosis["time"] is not None:
        split: float | None = (parse_utc(diagnosis["time"]) - axis.start_ns) / NS
    else:
        split = axis.fault and axis.fault[0]
    table = case.table("metrics")
    return [
        _metric(
            axis,
            entry,
            table[
                (table["component"] == entry["component"]) & (table["metric"] == entry["metric"])
            ],
            split,
        )
        for entry in diagnosis["metrics"][:_DRAWN_METRICS]
    ]


def _metric(
    axis: TimeAxis, entry: Mapping[str, Any], rows: pd.DataFrame, split: float | None
) -> Chart:
    evidence = entry["evidence"]
    unit = "" if evidence["unit"] == "1" else evidence["unit"]
    time, value = _with_holes(
        axis.elapsed(rows["timestamp"].astype("int64")), rows["value"].to_numpy(), axis.step_s
    )
    digits = ".4~s" if unit.startswith("bytes") else ".4~g"
    data = [line(entry["metric"], time, value, "--series-1", hover=f"%{{y:{digits}}}")]
    if split is not None:
        end = axis.fault[1] if axis.fault and axis.fault[1] > split else axis.length_s
        data += [
            level([0.0, split], evidence["before"], "--series-3", dash="dash"),
            level([split, end], evidence["after"], "--series-2", dash="dash"),
        ]
    seen = [*value[np.isfinite(value)], evidence["before"], evidence["after"]]
    return Chart(
        id=f"metric-{entry['rank']}",
        title=entry["metric"],
        subtitle=f"{entry['component']}: {change(evidence)}",
        summary=f"{entry['metric']} of {entry['component']} over the run: {change(evidence)}.",
        keys=(),
        # From zero, a small change of a large level would be a flat line.
        figure=figure(axis, data, unit, height=180, from_zero=min(seen) < max(seen) / 2),
    )


def _ttft(case: Case, axis: TimeAxis, requests: pd.DataFrame) -> Chart:
    slo = case.info.slo
    window_s = slo.window_s if slo else _RATE_WINDOW_S
    good = requests[(requests["outcome"] == "success") & requests["response_ttft_ms"].notna()]
    good = good.sort_values(["scheduled_ns", "index"])
    time = axis.elapsed(good["scheduled_ns"])
    ttft = good["response_ttft_ms"].to_numpy(dtype=float) / 1000
    rolling = pd.Series(ttft, index=pd.to_timedelta(time, unit="s")).rolling(f"{window_s}s")
    stride = max(1, -(-len(time) // _DRAWN_REQUESTS))
    data = [
        dots(time[::stride], ttft[::stride], "--series-faint"),
        line("p95", time, rolling.quantile(0.95), "--series-2", hover="%{y:.3~f} s"),
        line("p50", time, rolling.quantile(0.5), "--series-1", hover="%{y:.3~f} s"),
    ]
    keys = [
        ("dot", "a request" if stride == 1 else f"a request, one in {stride} drawn"),
        ("line-1", f"p50 of the last {seconds(window_s)}"),
        ("line-2", f"p95 of the last {seconds(window_s)}"),
    ]
    if slo:
        limit = slo.ttft_ms / 1000
        data.append(level([0.0, axis.length_s], limit, "--ink", dash="dot"))
        keys.append(("dotted", f"SLO {quantity(limit, 's')}"))
    said = "no request succeeded"
    if len(ttft):
        middle, longest = quantity(float(np.median(ttft)), "s"), quantity(float(ttft.max()), "s")
        said = f"{len(ttft):,} successful requests: median {middle}, longest {longest}"
    return Chart(
        id="ttft",
        title="Time to first token, from the intended time",
        subtitle=said,
        summary=f"Time to first token over the run; {said}.",
        keys=tuple(keys),
        figure=figure(axis, data, "s", height=260),
    )


def _requests(axis: TimeAxis, requests: pd.DataFrame) -> Chart:
    success = (requests["outcome"] == "success").to_numpy()
    ended = axis.elapsed(requests["end_ns"])
    grid = axis.grid()
    rates = [
        ("due", axis.elapsed(requests["scheduled_ns"]), "--series-faint"),
        ("succeeded", ended[success], "--series-1"),
        ("failed", ended[~success], "--series-2"),
    ]
    data = [
        line(name, grid, _rate(grid, events), color, hover="%{y:.1f}/s", fill=name == "failed")
        for name, events, color in rates
    ]
    failures = requests.loc[~success, "outcome"].value_counts().sort_index()
    how = ", ".join(f"{count:,} {outcome}" for outcome, count in failures.items())
    counts = f"{len(requests):,} requests, {failures.sum():,} failed" + (f" ({how})" if how else "")
    return Chart(
        id="requests",
        title="Requests",
        subtitle=counts,
        summary=f"Requests due, succeeded and failed per second: {counts}.",
        keys=(
            ("line-faint", "due"),
            ("line-1", "succeeded"),
            ("line-2", f"failed, all over the last {seconds(_RATE_WINDOW_S)}"),
        ),
        figure=figure(axis, data, "1/s", height=190),
    )


def _tokens(axis: TimeAxis, requests: pd.DataFrame) -> Chart:
    """Draw each request's output tokens evenly from its first to its last content frame."""
    known = requests.dropna(subset=["output_tokens", "first_token_ns", "last_token_ns"])
    tokens = known["output_tokens"].to_numpy(dtype=float)
    first = axis.elapsed(known["first_token_ns"])
    # One frame alone has no length: a millisecond keeps its rate finite and its tokens whole.
    last = np.maximum(axis.elapsed(known["last_token_ns"]), first + 1e-3)
    slope = tokens / (last - first)
    grid = axis.grid()
    received = _ramps(grid, first, slope) - _ramps(grid, last, slope)
    rate = np.diff(received) / axis.step_s
    total = f"{tokens.sum():,.0f} output tokens received"
    return Chart(
        id="tokens",
        title="Output tokens",
        subtitle=total,
        summary=f"Output tokens per second: {total}.",
        keys=(),
        figure=figure(
            axis,
            [line("tokens", grid[1:], rate, "--series-1", hover="%{y:.0f}/s")],
            "1/s",
            height=190,
        ),
    )


def _rate(grid: Floats, events: Floats) -> Floats:
    """Return events a second in the window that ends at each point of the grid, shape of grid."""
    ordered = np.sort(events)
    until = np.searchsorted(ordered, grid, side="right")
    before = np.searchsorted(ordered, grid - _RATE_WINDOW_S, side="right")
    rate: Floats = (until - before) / _RATE_WINDOW_S
    return rate


def _ramps(at: Floats, start: Floats, slope: Floats) -> Floats:
    """Return the sum over all ramps of ``slope * max(0, at - start)``, shape of ``at``."""
    order = np.argsort(start, kind="stable")
    slopes = np.concatenate([[0.0], np.cumsum(slope[order])])
    offsets = np.concatenate([[0.0], np.cumsum(slope[order] * start[order])])
    begun = np.searchsorted(start[order], at, side="right")
    total: Floats = slopes[begun] * at - offsets[begun]
    return total


def _with_holes(time: Floats, value: Floats, step_s: float) -> tuple[Floats, Floats]:
    """Put NaN into every hole of more than one and a half steps, so that no line bridges it."""
    order = np.argsort(time, kind="stable")
    time, value = time[order], value[order]
    holes = np.flatnonzero(np.diff(time) > 1.5 * step_s)
    return np.insert(time, holes + 1, time[holes] + step_s), np.insert(value, holes + 1, np.nan)
