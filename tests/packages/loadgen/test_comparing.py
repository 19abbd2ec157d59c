# SPDX-License-Identifier: Apache-2.0
"""Two runs side by side, of hand-made records."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from loadgen import OutputError, Profile, Result
from loadgen.audit import Audit
from loadgen.comparing import Row, cautions, compare
from loadgen.records import Record, RecordWriter
from loadgen.schedule import make_schedule
from loadgen.summary import Asked, summarise
from loadgen.write import write_result
from rcalab_common.slo import Slo

CALM = Audit(wall_s=10, cpu_s=1, loop_lag_ms=[0.5] * 100, own_errors=0)


@pytest.fixture
def finished(
    quick: Callable[..., Profile], made: Callable[..., Record], tmp_path: Path
) -> Callable[..., Result]:
    """Write a run of ten requests a second with these TTFTs, ``None`` a failure."""

    def go(name: str, ttfts_ms: Sequence[float | None], **changes: Any) -> Result:
        slo = Slo(ttft_ms=100, latency_ms=1000, target=0.9, window_s=5)
        settings = {"rate_per_s": 10, "duration_s": len(ttfts_ms) / 10, "slo": slo, **changes}
        profile = quick(**settings)
        folder = tmp_path / name
        folder.mkdir()
        records = [made(i, at_s=i / 10, ttft_ms=ttft) for i, ttft in enumerate(ttfts_ms)]
        with RecordWriter(folder / "requests.jsonl") as writer:
            for record in records:
                writer.write(record)
        summary = summarise(
            records,
            asked=Asked.of(profile, make_schedule(profile)),
            start_ns=0,
            end_ns=len(ttfts_ms) * 100_000_000,
            audit=CALM,
            interrupted=False,
        )
        return write_result(folder, summary)

    return go


def draws(seed: int, count: int, scale: float = 1.0) -> list[float | None]:
    rng = random.Random(seed)
    return [scale * rng.lognormvariate(3.5, 0.3) for _ in range(count)]


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_twice_as_slow_is_worse_and_the_interval_holds_two(finished: Callable[..., Result]) -> None:
    first, second = finished("a", draws(1, 1000)), finished("b", draws(2, 1000, 2.0))
    row = by_name(compare(first, second, resamples=400))["p50 response_ttft_ms"]
    assert row.low is not None
    assert row.high is not None
    assert row.low < 2 < row.high
    assert row.high / row.low < 1.2
    assert row.verdict == "worse"
    back = by_name(compare(second, first, resamples=400))["p50 response_ttft_ms"]
    assert (back.verdict, back.change) == ("better", pytest.approx(1 / (row.change or 0)))


def test_two_runs_of_the_same_service_show_no_difference(finished: Callable[..., Result]) -> None:
    first, second = finished("a", draws(1, 1000)), finished("b", draws(2, 1000))
    rows = by_name(compare(first, second, resamples=400))
    assert rows["p95 response_ttft_ms"].verdict == "no difference shown"
    assert rows["availability"].verdict == "no difference shown"
    assert cautions(first, second) == []


def test_failures_are_infinitely_slow(finished: Callable[..., Result]) -> None:
    half: list[float | None] = [None if i % 5 else 10.0 for i in range(1000)]
    first, second = finished("a", draws(1, 1000)), finished("b", half)
    rows = by_name(compare(first, second, resamples=200))
    row = rows["p50 response_ttft_ms"]
    assert row.to_dict()["second"] == "infinite"
    assert (row.to_dict()["low"], row.verdict) == ("infinite", "worse")
    assert rows["availability"].change == pytest.approx(-0.8)
    assert rows["availability"].verdict == "worse"


def test_neighbours_that_share_their_fate_widen_the_interval(
    finished: Callable[..., Result],
) -> None:
    """A tenth of all requests missed the SLO: scattered, or in one go."""
    scattered = finished("a", [500.0 if i % 10 == 0 else 10.0 for i in range(1000)])
    together = finished("b", [500.0 if 400 <= i < 500 else 10.0 for i in range(1000)])
    widths = []
    for run in (scattered, together):
        row = by_name(compare(run, run, resamples=400))["attainment"]
        assert row.low is not None
        assert row.high is not None
        widths.append(row.high - row.low)
    assert widths[1] > 2 * widths[0]


def test_the_seed_decides(finished: Callable[..., Result]) -> None:
    first, second = finished("a", draws(1, 300)), finished("b", draws(2, 300))
    assert compare(first, second, seed=7, resamples=200) == compare(
        first, second, seed=7, resamples=200
    )
    assert compare(first, second, seed=7, resamples=200) != compare(
        first, second, seed=8, resamples=200
    )


def test_a_quantile_with_few_requests_beyond_it_has_no_verdict(
    finished: Callable[..., Result],
) -> None:
    first, second = finished("a", draws(1, 300)), finished("b", draws(2, 300, 3.0))
    rows = by_name(compare(first, second, resamples=200))
    assert rows["p95 response_ttft_ms"].verdict == "worse"
    assert rows["p99 response_ttft_ms"].verdict == "too few requests"


def test_what_makes_runs_hard_to_compare_is_said(finished: Callable[..., Result]) -> None:
    first = finished("a", draws(1, 100))
    second = finished("b", draws(2, 100), output_tokens=9, slo=Slo(ttft_ms=5))
    second.summary["interrupted"] = True
    found = "\n".join(cautions(first, second))
    assert "schedules have different hashes" in found
    assert "different SLOs" in found
    assert "was ended before its time" in found


def test_a_run_without_measured_requests_is_refused(finished: Callable[..., Result]) -> None:
    run = finished("a", draws(1, 10))
    run.requests_path.write_text("")
    with pytest.raises(OutputError, match="no measured request"):
        compare(run, run)
