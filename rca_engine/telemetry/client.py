# SPDX-License-Identifier: Apache-2.0
"""The client's own metrics and its alert, from the record of every request."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rca_engine.model import NS, Alert
from rca_engine.telemetry.derive import RATE_WINDOW_S
from rca_engine.telemetry.samples import Floats, Ints
from rcalab_common.slo import Slo, first_breach

CLIENT = "client/loadgen"
_SUCCESS = "success"


def met_slo(requests: pd.DataFrame, slo: Slo) -> list[bool]:
    """Say for each request record whether it finished within the SLO."""
    rows = zip(
        requests["outcome"],
        requests["response_ttft_ms"],
        requests["response_latency_ms"],
        strict=True,
    )
    # A missing time is NaN in the table, which keeps no limit.
    return [slo.met(success=outcome == _SUCCESS, ttft_ms=t, latency_ms=e) for outcome, t, e in rows]


def alert(requests: pd.DataFrame, slo: Slo) -> Alert | None:
    """Return the client's first breach of its SLO over the measured requests, None without one."""
    measured = requests[requests["phase"] == "measured"]
    breach = first_breach(measured["scheduled_ns"].tolist(), met_slo(measured, slo), slo)
    if breach is None:
        return None
    return Alert(
        time_ns=breach.time_ns,
        component=CLIENT,
        metric="client_slo_attainment",
        observed=breach.attainment,
        threshold=slo.target,
    )


def client_metrics(
    requests: pd.DataFrame, slo: Slo, grid_ns: Ints, *, window_s: float = RATE_WINDOW_S
) -> Mapping[str, Floats]:
    """Derive the client's metrics on the step grid.

    Each grid point tells of the requests that were *due* in the trailing window, whenever they
    ended: a slow answer counts when it was asked for, so that the metrics do not lag the service.

    Parameters
    ----------
    requests
        The ``requests`` table.
    slo
        For ``client_slo_attainment``.
    grid_ns
        Shape (steps,).
    window_s
        Trailing window in seconds.

    Returns
    -------
    Mapping
        Metric to its values, shape (steps,); NaN where no request was due to take it from, and
        outside the load: the trailing window must lie within its first and last intended time.
    """
    order = np.argsort(requests["scheduled_ns"].to_numpy(), kind="stable")
    due = requests["scheduled_ns"].to_numpy(dtype=np.int64)[order]
    window_ns = round(window_s * NS)
    low = np.searchsorted(due, grid_ns - window_ns, side="right")
    high = np.searchsorted(due, grid_ns, side="right")

    def total(values: Floats) -> Floats:
        summed = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
        totals: Floats = summed[high] - summed[low]
        return totals

    def mean(values: Floats) -> Floats:
        top, count = total(values), total(np.where(np.isfinite(values), 1.0, 0.0))
        return np.divide(top, count, out=np.full_like(top, np.nan), where=count > 0)

    def column(name: str) -> Floats:
        return requests[name].to_numpy(dtype=np.float64, na_value=np.nan)[order]

    ttft_s = column("response_ttft_ms") / 1000
    failed = np.where(requests["outcome"].to_numpy()[order] == _SUCCESS, 0.0, 1.0)
    metrics = {
        "client_request_rate": (high - low) / window_s,
        "client_prompt_tokens_mean": mean(column("prompt_tokens")),
        "client_error_rate": total(failed) / window_s,
        "client_ttft_mean_s": mean(ttft_s),
        "client_ttft_p95_s": np.array(
            [_p95(ttft_s[start:stop]) for start, stop in zip(low, high, strict=True)]
        ),
        "client_latency_mean_s": mean(column("response_latency_ms") / 1000),
        "client_output_tokens_rate": total(column("output_tokens")) / window_s,
        "client_slo_attainment": mean(np.array(met_slo(requests, slo), dtype=float)[order]),
    }
    loaded = (grid_ns - window_ns >= due[0]) & (grid_ns <= due[-1])
    return {name: np.where(loaded, values, np.nan) for name, values in metrics.items()}


def _p95(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, 0.95)) if known.size else np.nan
