# SPDX-License-Identifier: Apache-2.0
"""Before, during and after a window, by hand-made records and hand-made arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadgen.events import Events
from loadgen.records import Record
from loadgen.windows import describe_windows
from rcalab_common.slo import Slo

NS = 1_000_000_000
T = 1_790_000_000 * NS
SLO = Slo(ttft_ms=100, latency_ms=250, target=0.9, window_s=2)
FINE, SLOW = 10.0, 500.0
Made = Callable[..., Record]


@pytest.fixture
def marked(made: Made) -> Callable[..., Any]:
    """Describe windows of a load of ten requests a second, for 30 s; ``bad`` says which are not
    fine, as spans of seconds and their TTFT (``None`` fails)."""

    def go(
        bad: dict[tuple[float, float], float | None], *windows: tuple[str, float, float | None]
    ) -> Any:
        records = []
        for index in range(300):
            at = index / 10
            ttft = next((ms for (a, b), ms in bad.items() if a <= at < b), FINE)
            records.append(made(index, at_s=T / NS + at, ttft_ms=ttft))
        events = Events("e.jsonl")
        for name, start, end in windows:
            for kind, at in (("window_start", start), ("window_end", end)):
                if at is not None:
                    text = f'{{"time_ns":{T + round(at * NS)},"event":"{kind}","name":"{name}"}}'
                    events.add_lines([text.encode()])
        return describe_windows(events, records, SLO, span_ns=(T, T + 30 * NS))

    return go


def one(described: Any) -> Any:
    (window,) = described["marked"]
    assert described["problems"] == []
    return window


def test_each_request_counts_where_it_was_due(marked: Callable[..., Any]) -> None:
    window = one(marked({(10, 13): None, (13, 15): SLOW}, ("cpu", 10, 15)))
    phases = [window[name] for name in ("before", "during", "after")]
    assert [phase["due"] for phase in phases] == [100, 50, 150]
    assert [phase["failed"] for phase in phases] == [0, 30, 0]
    assert [phase["late"] for phase in phases] == [0, 20, 0]
    assert (window["lost"], window["late"]) == (30, 20)
    assert window["availability"] == pytest.approx(0.4)
    assert [phase["attainment"] for phase in phases] == [1, 0, 1]
    assert window["goodput_ratio"] == 0
    assert window["during"]["outcomes"] == {"http_5xx": 30, "success": 20}
    # Three in five failed: the median of all is infinite, of the successes it is not.
    assert window["during"]["with_failures"]["response_ttft_ms"]["p50"] is None


def test_times_count_by_the_sliding_windows_of_the_slo(marked: Callable[..., Any]) -> None:
    window = one(marked({(10.5, 16.5): None}, ("cpu", 10, 16)))
    # Windows of 2 s end on whole seconds: [9, 11) is the first with more than one in ten bad.
    assert (window["detected"], window["time_to_detect_s"]) == (True, 1.0)
    # From the end on, second by second: [16, 18) has five bad, [17, 19) none.
    assert (window["recovered"], window["time_to_recover_s"]) == (True, 1.0)
    assert window["relapsed"] is False


def test_a_window_that_breaks_nothing_is_never_seen_and_recovers_from_nothing(
    marked: Callable[..., Any],
) -> None:
    window = one(marked({}, ("sham", 10, 15)))
    assert (window["detected"], window["time_to_detect_s"]) == (False, None)
    assert (window["recovered"], window["time_to_recover_s"]) == (None, None)
    assert window["goodput_ratio"] == 1


def test_trouble_that_was_there_before_is_not_the_windows(marked: Callable[..., Any]) -> None:
    window = one(marked({(7, 15): None}, ("cpu", 10, 15)))
    assert window["troubled_before"] is True
    assert (window["detected"], window["time_to_detect_s"]) == (False, None)


def test_trouble_that_stays_is_not_recovered_from(marked: Callable[..., Any]) -> None:
    window = one(marked({(10, 30): SLOW}, ("cpu", 10, 15)))
    assert (window["recovered"], window["time_to_recover_s"]) == (False, None)


def test_trouble_that_comes_back_is_said_to(marked: Callable[..., Any]) -> None:
    window = one(marked({(10, 15): None, (22, 25): None}, ("cpu", 10, 15)))
    assert (window["recovered"], window["time_to_recover_s"]) == (True, 0.0)
    assert window["relapsed"] is True


def test_a_window_without_an_end_lasts_to_the_end(marked: Callable[..., Any]) -> None:
    window = one(marked({(10, 30): None}, ("cpu", 10, None)))
    assert (window["end"], window["during"]["due"], window["after"]["due"]) == (None, 200, 0)
    assert (window["recovered"], window["after"]["availability"]) == (False, None)


def test_one_window_is_not_the_before_or_after_of_another(marked: Callable[..., Any]) -> None:
    described = marked({(5, 8): None, (20, 23): None}, ("one", 5, 8), ("two", 20, 23))
    first, second = described["marked"]
    assert (first["before"]["due"], first["after"]["due"]) == (50, 120)
    assert (second["before"]["due"], second["after"]["due"]) == (120, 70)
    assert second["before"]["availability"] == 1


def test_a_window_outside_of_the_measured_phase_is_a_problem(marked: Callable[..., Any]) -> None:
    described = marked({}, ("early", -9, -5), ("late", 31, 32))
    assert described["marked"] == []
    assert described["problems"] == [
        "window 'early' lies outside of the measured phase",
        "window 'late' lies outside of the measured phase",
    ]
