# SPDX-License-Identifier: Apache-2.0
"""Assertions: what can be said, and what it is held against."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen import ProfileError
from loadgen.assertions import Assertion, check_all


def ranks(*values: float | None) -> dict[str, float | None]:
    return dict(zip(("p50", "p90", "p95", "p99"), values, strict=True))


WINDOW = {"availability": 0.8, "lost": 4, "recovered": True, "time_to_recover_s": 3.0}
SUMMARY: dict[str, Any] = {
    "requests": {
        "scheduled": 100,
        "issued": 99,
        "success": 95,
        "failed": 4,
        "outcomes": {"success": 95, "truncated": 4},
    },
    "rates_per_s": {"success": 9.5, "output_tokens": 600.0},
    "successes": {"tpot_ms": ranks(9, 10, 11, 12)},
    "with_failures": {
        "response_ttft_ms": ranks(100, 200, 500, None),
        "response_latency_ms": ranks(900, 1900, 2900, None),
        "service_ttft_ms": ranks(90, 190, 490, None),
        "service_latency_ms": ranks(890, 1890, 2890, None),
    },
    "slo": {"attainment": 0.93, "goodput_per_s": 9.3},
    "windows": {
        "marked": [
            WINDOW | {"time_to_detect_s": 2.0},
            WINDOW | {"time_to_detect_s": None, "lost": 9, "availability": 0.7},
        ]
    },
    "audit": {"schedule_lag_ms": ranks(0.3, 1, 2, 4)},
}

HELD = [
    "p95_ttft_ms<=500",
    "ttft_p95<=500ms",
    "ttft_p95 <= 0.5s",
    "p50_service_latency_ms<891",
    "tpot_p99==12",
    "p99_schedule_lag_ms<5",
    "attainment>=93%",
    "attainment>0.92",
    "availability==95%",
    "error_rate<=5.1%",
    "failed==4",
    "truncated==4",
    "http_5xx==0",
    "success>90",
    "goodput_per_s>9",
    "output_tokens_per_s>=600",
    "time_to_recover_s<=3s",
    "time_to_recover_s<3001ms",
    "lost<=9",
    "window_availability>=70%",
]
BROKEN = [
    "p95_ttft_ms<500",
    "p99_ttft_ms<1000000",  # a failure is slower than any bound
    "truncated==0",
    "attainment>=99%",
    "time_to_detect_s<100",  # one window was never seen
    "lost<9",
]


@pytest.mark.parametrize(("text", "held"), [(t, True) for t in HELD] + [(t, False) for t in BROKEN])
def test_an_assertion_is_held_against_the_summary(text: str, held: bool) -> None:
    (checked,) = check_all([Assertion.parse(text)], SUMMARY)
    assert checked.held is held, checked


def test_what_is_infinite_is_written_as_a_word() -> None:
    checked = Assertion.parse("p99_ttft_ms<9").check(SUMMARY)
    assert checked.to_dict() == {
        "assertion": "p99_ttft_ms<9",
        "observed": "infinite",
        "held": False,
    }


def test_a_figure_that_the_run_has_not_is_not_kept() -> None:
    without = SUMMARY | {"windows": None}
    checked = Assertion.parse("time_to_recover_s<1000").check(without)
    assert (checked.observed, checked.held) == (None, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p95_ttft_ms", "an assertion is NAME"),
        ("p95_ttft_ms<fast", "an assertion is NAME"),
        ("__import__('os')<1", "an assertion is NAME"),
        ("p95_ttft_ms<1<2", "an assertion is NAME"),
        ("p42_ttft_ms<1", "there is no figure 'p42_ttft_ms'"),
        ("happiness>1", "there is no figure 'happiness'.*attainment"),
        ("p95_ttft_ms<5%", "p95_ttft_ms takes ms, s, got '%'"),
        ("attainment>5ms", "attainment takes %, got 'ms'"),
        ("failed<5s", "failed takes no unit"),
    ],
)
def test_what_is_no_assertion_says_what_one_is(text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        Assertion.parse(text)
