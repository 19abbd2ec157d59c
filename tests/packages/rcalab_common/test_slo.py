# SPDX-License-Identifier: Apache-2.0
"""The SLO and its first breach."""

from __future__ import annotations

import pytest

from rcalab_common.slo import Slo, first_breach

SECOND = 1_000_000_000
SLO = Slo(ttft_ms=100, latency_ms=1000, target=0.9, window_s=5)


def every_half_second(seconds: int, broken: range) -> tuple[list[int], list[bool]]:
    due = [index * SECOND // 2 for index in range(2 * seconds)]
    return due, [not (broken.start * SECOND <= at < broken.stop * SECOND) for at in due]


def test_no_breach_while_every_window_keeps_the_target() -> None:
    due, met = every_half_second(60, range(0))
    met[37] = False  # 9 of 10 is the target itself, not less than it
    assert first_breach(due, met, SLO) is None


def test_breach_is_the_end_of_the_first_window_below_the_target() -> None:
    due, met = every_half_second(60, range(20, 30))
    breach = first_breach(due, met, SLO)
    assert breach is not None
    assert breach.time_ns == 21 * SECOND  # the window [16, 21) holds the first two failures
    assert (breach.due, breach.attainment) == (10, 0.8)


def test_the_order_of_the_requests_does_not_matter() -> None:
    due, met = every_half_second(60, range(20, 30))
    assert first_breach(due[::-1], met[::-1], SLO) == first_breach(due, met, SLO)


def test_the_last_second_counts() -> None:
    due, met = every_half_second(60, range(59, 60))
    breach = first_breach(due, met, SLO)
    assert breach is not None
    assert breach.time_ns == 60 * SECOND


def test_a_gap_in_the_load_is_no_breach_and_a_short_load_is_one_window() -> None:
    assert first_breach([0, 100 * SECOND], [True, True], SLO) is None
    assert first_breach([], [], SLO) is None
    breach = first_breach([0], [False], SLO)
    assert breach is not None
    assert breach.time_ns == 5 * SECOND


def test_a_failed_or_late_request_does_not_meet_the_slo() -> None:
    assert SLO.met(success=True, ttft_ms=100, latency_ms=1000)
    assert not SLO.met(success=True, ttft_ms=101, latency_ms=1000)
    assert not SLO.met(success=True, ttft_ms=100, latency_ms=1001)
    assert not SLO.met(success=False, ttft_ms=1, latency_ms=1)
    assert not SLO.met(success=True, ttft_ms=None, latency_ms=1)


@pytest.mark.parametrize(
    ("field", "value"), [("ttft_ms", 0), ("latency_ms", float("nan")), ("target", 1.5)]
)
def test_bad_values_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Slo(**{field: value})
