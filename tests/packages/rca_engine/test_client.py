# SPDX-License-Identifier: Apache-2.0
"""The client's metrics and its alert."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rca_engine.model import NS
from rca_engine.telemetry.client import alert, client_metrics
from rcalab_common.slo import Slo

SLO = Slo(ttft_ms=1000, latency_ms=2000, target=0.9, window_s=5)


def requests(**columns: list[object]) -> pd.DataFrame:
    """One request a second, all good, unless said otherwise."""
    count = 20
    defaults = {
        "scheduled_ns": [second * NS for second in range(count)],
        "phase": ["measured"] * count,
        "outcome": ["success"] * count,
        "response_ttft_ms": [200.0] * count,
        "response_latency_ms": [800.0] * count,
        "prompt_tokens": [64.0] * count,
        "output_tokens": [10.0] * count,
    }
    return pd.DataFrame(defaults | columns)


def at(frame: pd.DataFrame, second: int) -> dict[str, float]:
    grid = np.array([second * NS])
    return {name: values.item() for name, values in client_metrics(frame, SLO, grid).items()}


def test_a_steady_load_gives_steady_metrics():
    assert at(requests(), 10) == pytest.approx(
        {
            "client_request_rate": 1.0,
            "client_prompt_tokens_mean": 64.0,
            "client_error_rate": 0.0,
            "client_ttft_mean_s": 0.2,
            "client_ttft_p95_s": 0.2,
            "client_latency_mean_s": 0.8,
            "client_output_tokens_rate": 10.0,
            "client_slo_attainment": 1.0,
        }
    )


def test_a_failed_request_counts_when_it_was_due_and_has_no_latency():
    outcome, ttft = ["success"] * 20, [200.0] * 20
    outcome[8], ttft[8] = "stall_timeout", None
    seen = at(requests(outcome=outcome, response_ttft_ms=ttft), 10)
    assert seen["client_error_rate"] == pytest.approx(0.2)
    assert seen["client_slo_attainment"] == pytest.approx(0.8)
    assert seen["client_ttft_mean_s"] == pytest.approx(0.2)


def test_a_second_load_counts_as_load_and_not_as_suffering():
    late = {"outcome": ["total_timeout"] * 20, "response_ttft_ms": [None] * 20}
    second = requests(prompt_tokens=[1536.0] * 20, **late)

    seen = client_metrics(requests(), SLO, np.array([10 * NS]), second=second)

    alone = at(requests(), 10)
    assert seen["client_request_rate"].item() == pytest.approx(2.0)
    assert seen["client_prompt_tokens_mean"].item() == pytest.approx(800.0)
    for name in alone.keys() - {"client_request_rate", "client_prompt_tokens_mean"}:
        assert seen[name].item() == pytest.approx(alone[name])


@pytest.mark.parametrize("second", [0, 4, 20])
def test_outside_the_load_nothing_is_known(second):
    assert np.isnan(list(at(requests(), second).values())).all()


def test_the_alert_is_the_first_window_below_the_target():
    latency = [800.0] * 12 + [9000.0] * 8
    found = alert(requests(response_latency_ms=latency), SLO)
    assert (found.time_ns, found.observed, found.threshold) == (13 * NS, 0.8, 0.9)
    assert (found.component, found.metric) == ("client/loadgen", "client_slo_attainment")


def test_the_warm_up_does_not_alert():
    late = requests(
        response_latency_ms=[9000.0] * 5 + [800.0] * 15,
        phase=["warmup"] * 5 + ["measured"] * 15,
    )
    assert alert(late, SLO) is None
