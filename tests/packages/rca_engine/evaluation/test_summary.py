# SPDX-License-Identifier: Apache-2.0
"""Sums over runs: per system and per fault, beside the references of the same cases."""

from __future__ import annotations

import pytest

from rca_engine.evaluation.scores import hits, to_json
from rca_engine.evaluation.summary import run_table, summarise

COMPONENTS = ["a", "b", "c", "d"]


def document(case, system, fault, rank, *, method="m", status="ok", part="incident", quiet=False):
    order = [frozenset([name]) for name in "wxyz"]
    order.insert(rank - 1, frozenset("a"))
    found = to_json(hits(order, {"a"}))
    return {
        "case": case,
        "system": system,
        "fault": fault,
        "method": method,
        "time_source": "oracle",
        "late_s": 0.0,
        "part": part,
        "seed": 0,
        "options": {},
        "status": status,
        "reason": None,
        "seconds": 0.5,
        "cpu_seconds": 0.25,
        "memory_mib": 3.0,
        "found_nothing": quiet,
        "top": ["a"],
        "rank": rank,
        "metric_rank": None,
        "component_hits": found if part == "incident" else None,
        "metric_hits": None,
    }


def fact(case, truth="a"):
    pairs = [["a", "cpu"], ["b", "cpu"]]
    return {
        "case": case,
        "left_out": None,
        "truth": [truth],
        "components": COMPONENTS,
        "pairs": pairs,
        "truth_pairs": [],
    }


@pytest.fixture
def summary():
    documents = [
        document("one", "shop", "cpu", 1),
        document("two", "shop", "mem", 3),
        document("three", "bank", "cpu", 2),
        document("three", "bank", "cpu", 0, part="normal", quiet=True),
        document("two", "shop", "mem", 0, part="normal"),
    ]
    facts = {"one": fact("one"), "two": fact("two"), "three": fact("three")}
    return summarise(run_table(documents, facts), seed=0)


def row(summary, system, fault):
    [found] = summary.query("system == @system and fault == @fault").to_dict("records")
    return found


def test_there_is_a_row_for_each_system_each_fault_and_their_pools(summary):
    pairs = set(zip(summary["system"], summary["fault"], strict=True))
    assert pairs == {
        ("shop", "cpu"),
        ("shop", "mem"),
        ("shop", "*"),
        ("bank", "cpu"),
        ("bank", "*"),
        ("*", "cpu"),
        ("*", "mem"),
        ("*", "*"),
    }


def test_figures_are_means_over_the_cases_of_the_row(summary):
    assert row(summary, "shop", "cpu")["ac1"] == 1.0
    assert row(summary, "shop", "*")["ac1"] == 0.5
    assert row(summary, "shop", "mem")["avg5"] == pytest.approx(0.6)
    everything = row(summary, "*", "*")
    assert everything["cases"] == 3
    assert everything["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert everything["avg5_low"] <= everything["avg5"] <= everything["avg5_high"]


def test_references_are_of_the_same_cases(summary):
    everything = row(summary, "*", "*")
    assert everything["chance_ac1"] == pytest.approx(0.25)
    # The bank's only case has no other to guess from: chance is what is left.
    assert row(summary, "bank", "cpu")["constant_ac1"] == pytest.approx(0.25)
    assert row(summary, "shop", "*")["constant_ac1"] == 1.0
    assert row(summary, "bank", "cpu")["hindsight_ac1"] == 1.0


def test_specificity_counts_the_normal_parts_of_the_row(summary):
    assert row(summary, "bank", "*")["specificity"] == 1.0
    assert row(summary, "shop", "*")["specificity"] == 0.0
    assert row(summary, "*", "*")["specificity"] == 0.5


def test_a_failed_run_is_in_the_denominator():
    documents = [
        document("one", "shop", "cpu", 1),
        {
            **document("two", "shop", "cpu", 1, status="failed"),
            "component_hits": {"at": [0.0] * 5, "reciprocal": 0.0},
        },
    ]
    table = summarise(run_table(documents, {"one": fact("one"), "two": fact("two")}), seed=0)
    [found] = table.to_dict("records")
    assert (found["ac1"], found["failed"], found["cases"]) == (0.5, 1, 2)


def test_the_order_of_runs_does_not_matter():
    documents = [document(f"case {n}", "shop", "cpu", 1 + n % 3) for n in range(12)]
    facts = {f"case {n}": fact(f"case {n}") for n in range(12)}
    forth, back = run_table(documents, facts), run_table(documents[::-1], facts)
    assert forth.equals(back)
    assert forth["case"].tolist()[2:4] == ["case 2", "case 3"]
