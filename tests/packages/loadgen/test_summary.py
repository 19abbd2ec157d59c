# SPDX-License-Identifier: Apache-2.0
"""Figures from hand-made records, by hand-made arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadgen import OutputError, Profile
from loadgen.audit import Audit, Verdict
from loadgen.records import Record, read_records
from loadgen.schedule import make_schedule
from loadgen.stats import quantile, spread
from loadgen.summary import Asked, summarise
from rcalab_common.slo import Slo
from rcalab_common.times import format_utc

NS = 1_000_000_000
Run = Callable[..., list[Record]]
CALM = Audit(wall_s=10, cpu_s=1, loop_lag_ms=[0.5] * 100, own_errors=0)


def figures(quick: Callable[..., Profile], records: list[Record], audit: Audit = CALM) -> Any:
    profile = quick(
        rate_per_s=1,
        duration_s=10,
        warmup_s=2,
        slo=Slo(ttft_ms=100, latency_ms=250, target=0.9, window_s=2),
    )
    return summarise(
        records,
        asked=Asked.of(profile, make_schedule(profile)),
        start_ns=0,
        end_ns=12 * NS,
        audit=audit,
        interrupted=False,
    )


@pytest.fixture
def run_of(made: Callable[..., Record]) -> Callable[..., list[Record]]:
    """Make the records of a warm-up of two, and of requests with these TTFTs."""

    def go(*ttfts_ms: float | None) -> list[Record]:
        warmup = [made(index, at_s=index, ttft_ms=9999, phase="warmup") for index in range(2)]
        return warmup + [made(i, at_s=i, ttft_ms=ttft) for i, ttft in enumerate(ttfts_ms, start=2)]

    return go


def test_every_scheduled_request_counts_and_the_warmup_does_not(
    quick: Callable[..., Profile], run_of: Run
) -> None:
    # Eight of ten measured requests were sent: five good ones, one too slow, two failed.
    summary = figures(quick, run_of(10, 20, 30, 40, 50, 120, None, None))
    assert summary["requests"] == {
        "scheduled": 10,
        "issued": 8,
        "success": 6,
        "failed": 2,
        "outcomes": {"http_5xx": 2, "success": 6},
    }
    assert summary["slo"]["met"] == 5
    assert summary["slo"]["attainment"] == 0.5
    assert summary["slo"]["goodput_per_s"] == 0.5
    assert summary["rates_per_s"]["output_tokens"] == 6
    assert summary["successes"]["response_ttft_ms"] == {
        "p50": 30,
        "p90": 120,
        "p95": 120,
        "p99": 120,
    }
    # Four of ten are infinitely slow.
    assert summary["with_failures"]["response_ttft_ms"] == {
        "p50": 50,
        "p90": None,
        "p95": None,
        "p99": None,
    }
    # Due at 7 s is the first that misses; the window [6, 8) holds it.
    assert summary["slo"]["first_breach"] == {
        "time": format_utc(8 * NS),
        "attainment": 0.5,
        "target": 0.9,
        "due": 2,
    }


def test_a_run_without_a_success_has_figures_too(
    quick: Callable[..., Profile], run_of: Run
) -> None:
    summary = figures(quick, run_of(None, None))
    assert summary["successes"]["tpot_ms"]["p50"] is None
    assert summary["slo"]["attainment"] == 0


@pytest.mark.parametrize(
    ("share", "failures", "expected"),
    [(0.5, 0, 2), (0.99, 0, 4), (0.5, 4, 4), (0.51, 4, None), (0.25, 0, 1)],
)
def test_quantiles_are_seen_values_with_failures_above_all(
    share: float, failures: int, expected: float | None
) -> None:
    assert quantile([1, 2, 3, 4], share, failures) == expected


def test_no_values_have_no_quantile() -> None:
    assert spread([])["p50"] is None


@pytest.mark.parametrize(
    ("audit", "lag_ms", "verdict", "reason"),
    [
        (CALM, 1.0, Verdict.VALID, None),
        (CALM, 30.0, Verdict.DEGRADED, "sends 30 ms late"),
        (CALM, 300.0, Verdict.INVALID, "sends 300 ms late"),
        (replace(CALM, loop_lag_ms=[40.0] * 10), 1.0, Verdict.DEGRADED, "event loop 40 ms late"),
        (replace(CALM, cpu_s=9.9), 1.0, Verdict.INVALID, "99% of a core"),
        (replace(CALM, own_errors=3), 1.0, Verdict.INVALID, "ran out of sockets"),
    ],
)
def test_the_audit_doubts_with_a_reason(
    audit: Audit, lag_ms: float, verdict: Verdict, reason: str | None
) -> None:
    found, reasons = audit.verdict(lag_ms)
    assert found is verdict
    assert (reason is None) == (not reasons)
    assert reason is None or reason in reasons[0]


def test_records_come_back_from_their_file_without_a_line_cut_short(
    tmp_path: Path, run_of: Run
) -> None:
    wanted = run_of(10, None)
    path = tmp_path / "requests.jsonl"
    lines = [orjson.dumps(each) for each in wanted]
    path.write_bytes(b"\n".join([*lines, lines[0][:50]]))
    assert list(read_records(path)) == wanted
    path.write_bytes(b"{}\n")
    with pytest.raises(OutputError, match="line 1 is no request record"):
        list(read_records(path))
