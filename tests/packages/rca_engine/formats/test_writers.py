# SPDX-License-Identifier: Apache-2.0
"""What is written is read back the same."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from rca_engine import formats
from rca_engine.case import Case
from rca_engine.errors import CaseError


def first(name, root) -> Case:
    return next(iter(formats.get(name).entries(root))).load()


@pytest.mark.parametrize("name", ["rcd", "petshop", "nezha", "rcaeval", "reference"])
def test_a_foreign_case_survives_as_format_1(name, request, tmp_path):
    case = first(name, request.getfixturevalue(name))
    kept = Case.load(formats.write("case", case, tmp_path / "written"))
    assert kept.truth.times == case.truth.times
    assert kept.truth.root_causes.keys() == case.truth.root_causes.keys()
    assert kept.topology == case.topology
    assert kept.info.notes == case.info.notes
    assert (kept.alert is None) == (case.alert is None)
    assert kept.matrix().shape == case.matrix().shape
    assert kept.matrix().sum().sum() == pytest.approx(case.matrix().sum().sum())
    for table in ("logs", "traces"):
        assert len(kept.table(table)) == len(case.table(table))
    truth = next(iter(kept.truth.root_causes))
    metrics = kept.truth.root_causes[truth]
    named = kept.table("metrics").query("component == @truth")["metric"].unique()
    assert set(metrics) & set(named) or not metrics


def test_metric_names_that_format_1_does_not_allow_keep_their_old_name_as_source(nezha, tmp_path):
    case = first("nezha", nezha)
    kept = Case.load(formats.write("case", case, tmp_path / "written"))
    assert kept.metric_table["CpuUsage_m"].source == {"series": ["CpuUsage(m)"]}


def test_a_format_1_case_survives_a_copy(case, tmp_path):
    kept = Case.load(formats.write("case", case, tmp_path / "written"))
    pd.testing.assert_frame_equal(kept.matrix(), case.matrix())
    pd.testing.assert_frame_equal(kept.table("requests"), case.table("requests"))
    assert kept.truth == case.truth
    assert kept.alert == case.alert
    assert kept.metric_table.keys() >= case.metric_table.keys()


@pytest.mark.parametrize("name", ["rcd", "nezha", "rcaeval"])
def test_a_case_survives_in_rcaevals_layout(name, request, tmp_path):
    case = first(name, request.getfixturevalue(name))
    formats.write("rcaeval", case, tmp_path / "RE9")
    [entry] = formats.get("rcaeval").entries(tmp_path / "RE9")
    kept = entry.load()
    assert kept.truth.fault_window[0] // 10**9 == case.truth.fault_window[0] // 10**9
    assert kept.truth.root_causes.keys() == case.truth.root_causes.keys()
    assert kept.matrix().shape == case.matrix().shape
    assert kept.matrix().sum().sum() == pytest.approx(case.matrix().sum().sum())
    assert len(kept.table("traces")) == len(case.table("traces"))
    assert kept.table("logs")["message"].tolist() == case.table("logs")["message"].tolist()


def test_cases_of_one_fault_are_numbered_in_rcaevals_layout(rcd, tmp_path):
    for entry in formats.get("rcd").entries(rcd):
        formats.write("rcaeval", entry.load(), tmp_path)
    assert sorted(path.name for path in (tmp_path / "carts_cpu").iterdir()) == ["1", "2"]


def test_a_case_in_the_way_is_not_overwritten(case, case_dir):
    with pytest.raises(CaseError, match="holds a case already"):
        formats.write("case", case, case_dir)


def test_without_truth_there_is_nothing_to_write_for_rcaeval(case, tmp_path):
    with pytest.raises(CaseError, match="needs a true cause"):
        formats.write("rcaeval", replace(case, truth=None), tmp_path)


def test_a_layout_that_can_only_be_read_says_so(case, tmp_path):
    with pytest.raises(CaseError, match="these can: case, rcaeval"):
        formats.write("petshop", case, tmp_path)
