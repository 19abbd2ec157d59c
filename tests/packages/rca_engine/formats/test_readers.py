# SPDX-License-Identifier: Apache-2.0
"""Each layout becomes a case that any method can be asked about."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rca_engine import formats
from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.formats._times import UNKNOWN, epoch_ns
from rca_engine.model import NS
from rcalab_common.times import parse_utc

from .conftest import INCIDENT_START, NORMAL_START


def only(name, root) -> Case:
    [entry] = formats.get(name).entries(root)
    # Workers get entries by pickle.
    return pickle.loads(pickle.dumps(entry)).load()  # noqa: S301 - our own bytes


def test_rcd_cases_come_in_order_of_number_with_the_normal_part_moved_in_front(rcd):
    entries = list(formats.get("rcd").entries(rcd))
    assert [each.case_id for each in entries] == ["carts-cpu/2", "carts-cpu/10"]
    assert {(each.system, each.fault) for each in entries} == {("sock-shop-1", "cpu")}
    case = entries[0].load()
    matrix = case.matrix()
    times = pd.DatetimeIndex(matrix.index).as_unit("ns").asi8
    assert times[0] == (INCIDENT_START - 20) * NS
    assert np.all(np.diff(times) == NS)
    assert case.truth.fault_window == (INCIDENT_START * NS, None)
    assert case.truth.root_causes == {"service/carts": ("cpu",)}
    assert matrix[("service/carts", "cpu")].iloc[19:21].tolist() == pytest.approx([1.1, 2.0])
    assert any("moved 8980 s later" in note for note in case.info.notes)


def test_rcd_columns_are_split_at_the_metric_not_at_any_underscore(rcd):
    case = next(iter(formats.get("rcd").entries(rcd))).load()
    assert set(case.matrix().columns) == {
        ("service/carts", "cpu"),
        ("service/carts", "lat_50"),
        ("service/carts", "lat_90"),
        ("service/carts", "load"),
        ("service/carts-db", "mem"),
    }
    assert case.metric_table["lat_90"].direction == "up"
    assert case.metric_table["cpu"].scope == "internal"


def test_petshop_has_an_alert_a_call_graph_and_a_moved_normal_period(petshop):
    case = only("petshop", petshop)
    assert case.alert.time_ns == (NORMAL_START + 485) * NS
    assert (case.alert.component, case.alert.metric) == ("service/Front", "latency_average")
    assert case.alert.observed == pytest.approx(0.6)
    assert case.alert.threshold == pytest.approx(0.1)
    [edge] = case.topology.edges
    assert (edge.source, edge.target, edge.type) == (
        "service/Front",
        "service/Back_AWS::X",
        "calls",
    )
    assert case.truth.root_causes == {"service/Back_AWS::X": ()}
    assert case.metric_table["availability_average"].direction == "down"
    times = pd.DatetimeIndex(case.matrix().index).as_unit("ns").asi8
    assert len(times) == 17
    assert np.all(np.diff(times) == 300 * NS)
    assert times[-1] == (NORMAL_START + 1200) * NS


def test_petshop_groups_by_split_and_by_kind_of_issue(petshop):
    [entry] = formats.get("petshop").entries(petshop / "low_traffic" / "test")
    assert (entry.system, entry.fault) == ("petshop-low_traffic-test", "latency")


def test_nezha_takes_the_time_that_is_right_and_joins_pods_to_services(nezha):
    case = only("nezha", nezha)
    injected = parse_utc("2023-01-29T08:43:04Z")
    assert case.truth.fault_window == (injected, None)
    assert case.truth.root_causes == {"service/ts-food-service": ("CpuUsage(m)", "CpuUsageRate(%)")}
    cpu = case.matrix()[("service/ts-food-service", "CpuUsage(m)")]
    after = cpu[cpu.index > pd.Timestamp(injected, tz="UTC")]
    assert after.tolist() == [400.0, 400.0, 400.0, 400.0]
    assert set(cpu[cpu.index <= pd.Timestamp(injected, tz="UTC")]) == {4.0}


def test_nezha_keeps_good_log_rows_beside_malformed_ones_and_says_so(nezha):
    case = only("nezha", nezha)
    logs = case.table("logs")
    assert len(logs) == 5
    assert set(logs["message"]) == {"INFO ready", "no json"}
    assert logs["level"].dropna().unique().tolist() == ["INFO"]
    warnings = " ".join(case.manifest["sources"]["logs"]["warnings"])
    assert "1 malformed rows were left out" in warnings
    assert "1 log lines are no JSON" in warnings


def test_nezha_fault_free_logs_and_spans_lie_in_front_of_the_fault(nezha):
    case = only("nezha", nezha)
    for name, column in (("logs", "timestamp"), ("traces", "start")):
        stamps = case.table(name)[column]
        assert (stamps < pd.Timestamp(case.truth.fault_window[0], tz="UTC")).sum() >= 1
        assert stamps.is_monotonic_increasing
    assert [(e.source, e.target) for e in case.topology.edges] == [
        ("service/ts-ui-dashboard", "service/ts-food-service")
    ]
    assert case.table("traces")["duration"].tolist()[:2] == [900, 600]


def test_nezha_rows_with_gos_zero_time_are_told_and_move_nothing(nezha):
    before = only("nezha", nezha)
    day = nezha / "rca_data" / "2023-01-29"
    pod = "ts-food-service-f5756978c-k8vqf"
    line = f"n,{pod},server,a,b,late"
    append(
        day / "log" / "08_43_log.csv.gz",
        f"0001-01-01T00:00:00Z,{GO_ZERO_NS},{line}",
        f"2023-01-29T08:43:30.000000007Z,{GO_ZERO_NS},{line}",
    )
    append(
        day / "trace" / "08_43_trace.csv.gz",
        f"x,unborn,root,{pod},food,{GO_ZERO_NS},{GO_ZERO_NS},0",
        f"x,endless,root,{pod},food,1674981810000000000,{GO_ZERO_NS},0",
    )
    case = only("nezha", nezha)

    added = case.table("logs").query("message == 'late'")
    assert added["timestamp"].tolist() == [pd.Timestamp("2023-01-29T08:43:30.000000007Z")]
    pd.testing.assert_frame_equal(
        case.table("logs").drop(added.index).reset_index(drop=True), before.table("logs")
    )
    spans = case.table("traces")
    assert spans[spans["span_id"] == "endless"]["duration"].tolist() == [0]
    assert set(spans["span_id"]) - set(before.table("traces")["span_id"]) == {"endless"}
    assert spans["start"].min() == before.table("traces")["start"].min()
    assert case.manifest["sources"]["logs"]["warnings"][:2] == [
        "08_43_log.csv.gz: 1 rows without a readable time since 1970 were left out",
        "08_43_log.csv.gz: 1 log lines have no time in TimeUnixNano but one in Timestamp",
    ]
    assert case.manifest["sources"]["traces"]["warnings"] == [
        "08_43_trace.csv.gz: 1 rows without a readable time since 1970 were left out",
        "08_43_trace.csv.gz: 1 spans have no readable end and count as lasting 0 s",
    ]


def append(path: Path, *lines: str) -> None:
    with gzip.open(path, "at", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


GO_ZERO_NS = -6795364578871345152
"""What Go's time.Time{}.UnixNano() returns, which overflows."""


@pytest.mark.parametrize(
    "values",
    [
        ["0001-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"],
        ["2026-01-01T00:00:00.500000000Z", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"],
        [GO_ZERO_NS, 1_767_225_600_500_000_000],
        [1_767_225_600_500, -62_135_596_800_000],
        [-62_135_596_800.0, 1_767_225_600.5, np.inf],
    ],
)
def test_a_time_that_was_never_set_is_none_in_any_unit(values):
    times, said = epoch_ns(pd.Series(values))
    assert times[times != UNKNOWN].tolist() == [1_767_225_600_500_000_000]
    assert said == [f"{len(values) - 1} rows without a readable time since 1970 were left out"]


def test_rcaeval_reads_simple_metrics_first_and_all_on_request(rcaeval):
    simple, full = only("rcaeval", rcaeval), only("rcaeval-full", rcaeval)
    assert ("service/cartservice", "diskio") in simple.matrix().columns
    assert simple.truth.root_causes == {"service/cartservice": ("diskio",)}
    assert ("service/cartservice", "container-fs-writes-total") in full.matrix().columns
    assert full.truth.root_causes == {"service/cartservice": ("fs-usage",)}
    assert simple.truth.fault_window[0] == (NORMAL_START + 15) * NS


def test_rcaeval_logs_and_spans_become_tables(rcaeval):
    case = only("rcaeval", rcaeval)
    assert case.table("logs")["component"].tolist() == ["service/cartservice", "service/front-end"]
    spans = case.table("traces")
    assert spans["status"].tolist() == ["ok", "error"]
    assert spans["duration"].tolist() == [900_000, 500_000]
    assert [(e.source, e.target) for e in case.topology.edges] == [
        ("service/front-end", "service/cartservice")
    ]


def test_reference_columns_of_containers_are_metrics_and_the_rest_is_not(reference):
    case = only("reference", reference)
    assert set(case.matrix().columns) == {
        ("service/ray-replicas-0", "ctn_cpu"),
        ("service/ray-replicas-0", "ctn_network"),
        ("service/ray-head", "latency-90"),
    }
    assert case.truth.root_causes == {"service/ray-replicas-0": ("ctn_network",)}
    assert [(e.source, e.target) for e in case.topology.edges] == [
        ("service/ray-head", "service/ray-replicas-0")
    ]


def test_format_1_cases_are_found_below_a_folder(case_dir):
    [entry] = formats.get("case").entries(case_dir.parent)
    assert (entry.case_id, entry.system, entry.fault) == ("run-01", "simulated", "F01")
    assert entry.load().truth is not None


@pytest.mark.parametrize("name", sorted(formats.available()))
def test_a_folder_without_cases_is_an_error_that_says_what_is_missing(name, tmp_path):
    with pytest.raises(CaseError, match=r"below it|no CSV file here"):
        list(formats.get(name).entries(tmp_path))


@pytest.mark.parametrize(
    ("name", "count", "system"),
    [("rcd", 50, "sock-shop-1"), ("petshop", 26, None), ("nezha", 28, "train-ticket")],
)
def test_the_public_data_are_read_whole(test_data, name, count, system):
    folder = {"rcd": "rcd_sockshop", "petshop": "petshop_low", "nezha": "nezha_tt"}[name]
    entries = list(formats.get(name).entries(test_data / "data" / folder))
    assert len({each.case_id for each in entries}) == count
    assert system is None or {each.system for each in entries} == {system}
    case = entries[0].load()
    known = {each.id for each in case.topology.components}
    assert set(case.truth.root_causes) <= known
    before, after = (
        case.matrix().index < pd.Timestamp(case.truth.fault_window[0], tz="UTC"),
        case.matrix().index >= pd.Timestamp(case.truth.fault_window[0], tz="UTC"),
    )
    assert before.sum() >= 30
    assert after.sum() >= 3
