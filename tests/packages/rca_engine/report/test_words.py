# SPDX-License-Identifier: Apache-2.0
"""Numbers as a person reads them."""

from __future__ import annotations

import math

import pytest

from rca_engine.report.words import fault_name
from rcalab_common.words import number, ordinal, quantity, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (math.nan, "—"),
        (math.inf, "∞"),
        (0.0, "0"),
        (0.2, "0.2"),
        (9.96, "9.96"),
        (99.97, "100"),
        (12_345.6, "12,346"),
        (-0.0001, "-1.00e-04"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.41e9, "bytes", "1.41 GB"),
        (0.0, "bytes", "0 B"),
        (-2500.0, "bytes/s", "-2.5 kB/s"),
        (3.0, "1", "3"),
        (9.7, "1/s", "9.7 1/s"),
        (None, "s", "—"),
    ],
)
def test_quantity(value, unit, text):
    assert quantity(value, unit) == text


def test_seconds():
    assert [seconds(value) for value in (60.0, 60.24, 105.2, None)] == [
        "60 s",
        "60.2 s",
        "105 s",
        "—",
    ]


def test_ordinal():
    assert [ordinal(rank) for rank in (1, 2, 3, 4, 11, 12, 21, 113)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "113th"]
    )


def test_fault_name():
    assert [fault_name(name) for name in ("cpu_starvation", "packet_loss")] == (
        ["CPU starvation", "Packet loss"]
    )
