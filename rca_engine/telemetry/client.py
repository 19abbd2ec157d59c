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
    requests: pd.DataFrame,
    slo: Slo,
    grid_ns: Ints,
    *,
    window_s: float = RATE_WINDOW_S,
    second: pd.DataFrame | None = None,
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
    second
        The requests of a second load beside this one, of the same columns. They are load too: the
        rate and the prompts' length count them. What the client suffers is told by `requests`
        alone, which are the same with a fault and without.

    Returns
    -------
    Mapping
        Metric to its values, shape (steps,); NaN where no request was due to take it from, and
        outside the load: the trailing window must lie within its first and last intended time.
    """
    window_ns = round(window_s * NS)
    own = _Trailing(requests, grid_ns, window_ns)
    load = own if second is None else _Trailing(pd.concat([requests, second]), grid_ns, window_ns)
    ttft_s = own.column("response_ttft_ms") / 1000
    failed = np.where(requests["outcome"].to_numpy()[own.order] == _SUCCESS, 0.0, 1.0)
    attained = np.array(met_slo(requests, slo), dtype=float)[own.order]
    metrics = {
        "client_request_rate": (load.high - load.low) / window_s,
        "client_prompt_tokens_mean": load.mean(load.column("prompt_tokens")),
        "client_error_rate": own.total(failed) / window_s,
        "client_ttft_mean_s": own.mean(ttft_s),
        "client_ttft_p95_s": np.array(
            [_p95(ttft_s[start:stop]) for start, stop in zip(own.low, own.high, strict=True)]
        ),
        "client_latency_mean_s": own.mean(own.column("response_latency_ms") / 1000),
        "client_output_tokens_rate": own.total(own.column("output_tokens")) / window_s,
        "client_slo_attainment": own.mean(attained),
    }
    loaded = (grid_ns - window_ns >= own.due_ns[0]) & (grid_ns <= own.due_ns[-1])
    return {name: np.where(loaded, values, np.nan) for name, values in metrics.items()}


class _Trailing:
    """Requests in the order in which they were due, and those due in each step's trailing window.

    Attributes
    ----------
    order
        Places in the table, by intended time.
    due_ns
        Those times.
    low, high
        Of each step: its requests are those from ``low`` to before ``high``; shape (steps,).
    """

    def __init__(self, requests: pd.DataFrame, grid_ns: Ints, window_ns: int) -> None:
        self._requests = requests
        due_ns = requests["scheduled_ns"].to_numpy(dtype=np.int64)
        self.order = np.argsort(due_ns, kind="stable")
        self.due_ns = due_ns[self.order]
        self.low = np.searchsorted(self.due_ns, grid_ns - window_ns, side="right")
        self.high = np.searchsorted(self.due_ns, grid_ns, side="right")

    def column(self, name: str) -> Floats:
        """Return a column by intended time, NaN where it is empty."""
        return self._requests[name].to_numpy(dtype=np.float64, na_value=np.nan)[self.order]

    def total(self, values: Floats) -> Floats:
        """Add up what is known in each step's window."""
        summed = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
        totals: Floats = summed[self.high] - summed[self.low]
        return totals

    def mean(self, values: Floats) -> Floats:
        """Return the mean of what is known in each step's window; NaN where nothing is."""
        top, count = self.total(values), self.total(np.where(np.isfinite(values), 1.0, 0.0))
        return np.divide(top, count, out=np.full_like(top, np.nan), where=count > 0)


def _p95(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, 0.95)) if known.size else np.nan
