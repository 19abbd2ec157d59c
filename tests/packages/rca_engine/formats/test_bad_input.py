# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with a file is handled or told: no traceback, no silent shift."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rca_engine.diagnosis import diagnose
from rca_engine.errors import CaseError
from rca_engine.formats._names import split_name
from rca_engine.formats._times import epoch_ns
from rca_engine.formats.csv import read

from .conftest import NORMAL_START, write_csv

ROWS = [[NORMAL_START + s, s % 7, 2 * s] for s in range(90)]


def notes(case) -> str:
    return " ".join(case.info.notes)


@pytest.mark.parametrize(
    "values",
    [
        [1_767_225_600, 1_767_225_601],
        [1_767_225_600.0, 1_767_225_601.0],
        ["1767225600", "1767225601"],
        [1_767_225_600_000, 1_767_225_601_000],
        [1_767_225_600_000_000, 1_767_225_601_000_000],
        [1_767_225_600_000_000_000, 1_767_225_601_000_000_000],
        ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"],
        ["2026-01-01 01:00:00+01:00", "2025-12-31T19:00:01-05:00"],
        ["2026-01-01 00:00:00", "2026-01-01 00:00:01"],
    ],
)
def test_a_time_is_the_same_in_every_unit_and_zone(values):
    times, _ = epoch_ns(pd.Series(values))
    assert times.tolist() == [1_767_225_600_000_000_000, 1_767_225_601_000_000_000]


def test_nanoseconds_survive():
    times, _ = epoch_ns(pd.Series([1_674_983_593_068_758_008]))
    assert times.tolist() == [1_674_983_593_068_758_008]


def test_times_without_a_zone_are_told():
    _, told = epoch_ns(pd.Series(["2026-01-01 00:00:00", "2026-01-01T00:00:01Z"]))
    assert told == ["1 times name no zone and were read as UTC"]


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("carts_cpu", ("service/carts", "cpu")),
        ("carts_lat_50", ("service/carts", "lat_50")),
        ("my_own_svc_latency-90", ("service/my_own_svc", "latency-90")),
        ("svc_ctn_cpu", ("service/svc", "ctn_cpu")),
        ("a_queue_depth", ("service/a", "queue_depth")),
        ("lonely", ("service/lonely", "value")),
        ("_cpu", ("service/_cpu", "value")),
    ],
)
def test_names_with_underscores(column, key):
    assert split_name(column) == key


def test_columns_with_one_name_are_told_and_the_first_is_kept(tmp_path):
    rows = [[*row, 99] for row in ROWS]
    case = read(write_csv(tmp_path / "x.csv", ["time", "a_cpu", "b_cpu", "a_cpu"], rows))
    assert case.matrix()[("service/a", "cpu")].max() == 6
    assert "columns with one name" in notes(case)


def test_constant_empty_late_and_holed_series_are_told_and_never_filled(tmp_path):
    rows = [
        [time, 4, "", "" if at < 30 else at, at if at % 5 else ""]
        for at, (time, _, _) in enumerate(ROWS)
    ]
    header = ["time", "flat_cpu", "empty_cpu", "late_cpu", "holed_cpu"]
    case = read(write_csv(tmp_path / "x.csv", header, rows))
    said = notes(case)
    assert "1 series without any value: empty_cpu" in said
    assert "1 series constant: flat_cpu" in said
    assert "starting late: late_cpu" in said
    assert "with holes: holed_cpu" in said
    matrix = case.matrix()
    assert ("service/empty", "cpu") not in matrix.columns
    late = matrix[("service/late", "cpu")]
    assert late.isna().sum() == 30
    assert late.iloc[30] == 30


def test_gaps_in_time_stay_gaps(tmp_path):
    rows = [row for row in ROWS if not NORMAL_START + 40 <= row[0] < NORMAL_START + 60]
    case = read(write_csv(tmp_path / "x.csv", ["time", "a_cpu", "b_cpu"], rows))
    assert "1 gaps in time, the longest 21 s" in notes(case)
    assert len(case.matrix()) == 70


def test_rows_out_of_order_or_repeated_are_put_right(tmp_path):
    rows = [*reversed(ROWS), [NORMAL_START, 1000, 0]]
    case = read(write_csv(tmp_path / "x.csv", ["time", "a_cpu", "b_cpu"], rows))
    assert case.matrix().index.is_monotonic_increasing
    assert case.matrix()[("service/a", "cpu")].iloc[0] == 1000
    assert "the last won" in notes(case)


def test_malformed_rows_text_and_infinity_are_told(tmp_path):
    rows = [[*ROWS[0], 7, 7, 7], ["soon", 1, 1], [NORMAL_START + 500, "n/a?", "inf"], *ROWS]
    case = read(write_csv(tmp_path / "x.csv", ["time", "a_cpu", "b_cpu"], rows))
    said = notes(case)
    assert "1 malformed rows were left out" in said
    assert "1 rows without a readable time" in said
    assert "cells are no numbers" in said
    assert "1 cells are infinite" in said
    assert np.isfinite(case.matrix().to_numpy()[:90]).all()


def test_named_pairs_and_long_rows_say_the_same(tmp_path):
    wide = write_csv(tmp_path / "w.csv", ["time", "gpu/n1.0:util", "a:queue_depth"], ROWS)
    long_rows = [
        row
        for time, left, right in ROWS
        for row in ([time, "gpu/n1.0", "util", left], [time, "a", "queue_depth", right])
    ]
    long = write_csv(tmp_path / "l.csv", ["time", "component", "metric", "value"], long_rows)
    pd.testing.assert_frame_equal(read(wide).matrix(), read(long).matrix())
    assert set(read(wide).matrix().columns) == {
        ("gpu/n1.0", "util"),
        ("service/a", "queue_depth"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("time,a_cpu\n", "has no rows"),
        ("when,a_cpu\n1,2\n", "no time column"),
        ("time,a_cpu\nsoon,2\n", "no row has a readable time"),
        ("time,a_cpu\n1,x\n2,y\n", "no series with numbers"),
        ("time,a_cpu\n1,2\n", "fewer than two"),
    ],
)
def test_a_file_of_no_use_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaseError, match=message):
        read(path)


def test_a_binary_file_is_one_clear_error(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(CaseError, match="not readable as CSV"):
        read(tmp_path / "x.csv")


def test_a_csv_can_be_diagnosed_without_anybody_knowing_when(tmp_path):
    rng = np.random.default_rng(3)
    quiet = rng.normal(10, 1, (150, 3))
    quiet[90:, 1] += 40
    rows = [[NORMAL_START + s, *map(float, row)] for s, row in enumerate(quiet)]
    case = read(write_csv(tmp_path / "x.csv", ["time", "a_cpu", "b_cpu", "c_cpu"], rows))
    diagnosis = diagnose(case, "baro", time="none")
    assert diagnosis.ranking[0] == "service/b"
    assert abs(diagnosis.time_ns / 1e9 - (NORMAL_START + 90)) <= 5
