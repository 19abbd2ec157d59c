# SPDX-License-Identifier: Apache-2.0
"""Counts of templates before and after, and how surprising they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rca_engine.logs.templates import count_templates, error_lines, surprise


def table(*rows):
    """Rows of (component, level, message), a second apart."""
    return pd.DataFrame(
        {
            "timestamp": pd.to_datetime(np.arange(len(rows)), unit="s", utc=True),
            "component": [row[0] for row in rows],
            "stream": "stdout",
            "level": [row[1] for row in rows],
            "message": [row[2] for row in rows],
        }
    )


def test_templates_are_counted_by_component_and_period():
    logs = table(
        ("a", "INFO", "got 1"), ("b", None, "got 2"), ("a", None, "got 3"),
        ("a", "ERROR", "lost it"), ("a", None, "unseen"),
    )  # fmt: skip
    counted = count_templates(logs, np.array([0, 0, 1, 1, -1]), 2)
    assert counted.keys == (("a", "got <*>"), ("a", "lost it"), ("b", "got <*>"))
    assert counted.counts.tolist() == [[1, 1], [0, 1], [1, 0]]
    assert counted.weights.tolist() == [1.0, 2.0, 1.0]
    assert counted.samples == ("got 1", "lost it", "got 2")


def test_an_empty_log_has_no_counts():
    counted = count_templates(table(), np.zeros(0, dtype=np.int64), 2)
    assert counted.keys == ()
    assert counted.counts.shape == (0, 2)


def test_twice_the_lines_of_twice_the_traffic_surprise_nobody():
    counts = np.array([10.0, 100.0, 0.0])
    assert np.abs(surprise(counts, 2 * counts, np.array([2.0]))).max() < 0.5


def test_new_and_vanished_templates_surprise_and_more_lines_do_more():
    before, after = np.array([0.0, 0.0, 20.0, 40.0]), np.array([5.0, 20.0, 0.0, 0.0])
    few_new, many_new, gone, more_gone = surprise(before, after, np.ones(1))
    assert 2 < few_new < many_new
    assert -2 > gone > more_gone


@pytest.mark.parametrize(
    ("level", "message", "is_error"),
    [
        ("ERROR", "x", True), ("Critical", "x", True), ("info", "no error found", False),
        (None, "FATAL: x", True), (None, "Timed out", True), (None, "failover done", False),
        (None, "java.lang.IllegalStateException", True), (None, "terrors", False),
        (None, '{"status":503}', True), (None, '{"status":200}', False),
        ("warning", "connection refused", True), (None, "", False),
    ],
)  # fmt: skip
def test_an_error_is_told_by_its_level_or_else_by_its_words(level, message, is_error):
    assert error_lines(table(("a", level, message))).tolist() == [is_error]
