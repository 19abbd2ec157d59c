# SPDX-License-Identifier: Apache-2.0
"""Traces as arrays: own times, callers, visits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rca_engine.methods import _traces


def spans(*rows):
    """Rows of (span, parent, component, start ms, duration ms)."""
    return _traces.spans_of(
        pd.DataFrame(
            {
                "trace_id": "t",
                "span_id": [row[0] for row in rows],
                "parent_span_id": [row[1] for row in rows],
                "component": [row[2] for row in rows],
                "name": "do",
                "kind": "server",
                "start": pd.to_datetime([row[3] for row in rows], unit="ms", utc=True),
                "duration": [row[4] * 1_000_000 for row in rows],
                "status": "ok",
                "attributes": "{}",
            }
        )
    )


def own(made):
    return dict(zip(made.span_ids, made.own_ms, strict=True))


def test_own_time_is_what_no_child_covers():
    made = spans(
        ("a", None, "x", 0, 100), ("b", "a", "y", 10, 30), ("c", "b", "z", 15, 5),
        ("d", "a", "y", 60, 20),
    )  # fmt: skip
    assert own(made) == pytest.approx({"a": 50, "b": 25, "c": 5, "d": 20})


def test_children_side_by_side_count_once_and_those_that_outlast_their_parent_only_in_it():
    made = spans(
        ("a", None, "x", 0, 100), ("b", "a", "y", 10, 40), ("c", "a", "y", 30, 40),
        ("late", "a", "y", 90, 500),
    )  # fmt: skip
    assert own(made)["a"] == pytest.approx(100 - 60 - 10)


def test_a_span_enters_its_component_from_outside_or_as_a_root():
    made = spans(("a", None, "x", 0, 9), ("b", "a", "x", 1, 5), ("c", "b", "y", 2, 2))
    assert made.entry.tolist() == [True, False, True]
    callers = [made.components[place] if place >= 0 else None for place in made.caller]
    assert callers == [None, None, "x"]


def test_a_loop_of_parents_is_no_reason_to_hang():
    made = spans(("a", "b", "x", 0, 9), ("b", "a", "y", 0, 9))
    assert (made.own_ms >= 0).all()


def test_an_empty_table_has_no_spans():
    made = spans()
    assert made.size == made.traces == 0
    assert _traces.visits_of(made).trace.size == 0


def test_the_part_of_some_traces_stands_alone():
    table = pd.concat([_table("t1"), _table("t2"), _table("t3")])
    part = _traces.take_traces(_traces.spans_of(table), np.array([True, False, True]))
    assert part.traces == 2
    assert part.trace_ids.tolist() == ["t1", "t3"]
    assert part.parent.tolist() == [-1, 0, -1, 2]


def _table(trace):
    return pd.DataFrame(
        {
            "trace_id": trace, "span_id": [f"{trace}a", f"{trace}b"],
            "parent_span_id": [None, f"{trace}a"], "component": ["x", "y"], "name": "do",
            "kind": "server", "start": pd.to_datetime([0, 1], unit="ms", utc=True),
            "duration": [5_000_000, 1_000_000], "status": "ok", "attributes": "{}",
        }
    )  # fmt: skip
