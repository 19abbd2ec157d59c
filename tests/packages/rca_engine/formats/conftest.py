# SPDX-License-Identifier: Apache-2.0
"""Tiny trees of other people's layouts, written by the tests themselves."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

NORMAL_START, INCIDENT_START = 1_700_000_000, 1_700_009_000


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, row)) for row in [header, *rows]]
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def rcd(tmp_path: Path) -> Path:
    """Two cases; the fault doubles the target's CPU."""
    root = tmp_path / "rcd"
    columns = ["time", "carts_cpu", "carts-db_mem", "carts_lod", "carts_lat_50", "carts_lat_90"]
    for number in (2, 10):
        folder = root / "data" / "carts-cpu" / str(number)
        for name, start, cpu in (
            ("normal", NORMAL_START, 1.0),
            ("anomalous", INCIDENT_START, 2.0),
        ):
            rows = [[start + s, cpu + s % 3 / 10, 5, 7 + s % 2, 0.1, 0.2] for s in range(20)]
            write_csv(folder / f"{name}.csv", columns, rows)
    return root


@pytest.fixture
def petshop(tmp_path: Path) -> Path:
    """One latency issue: the front calls the back, which is slow."""
    root = tmp_path / "petshop"
    traffic = root / "low_traffic"
    heads = [
        "microservice,Front,Front,Back_AWS::X,Back_AWS::X",
        "metric,latency,availability,latency,availability",
        "statistic,Average,Average,Average,Average",
        "unix_timestamp,,,,",
    ]

    def metrics(path: Path, start: int, count: int, slow: float) -> None:
        path.parent.mkdir(parents=True)
        rows = [
            f"{start + 300 * step}.0,{0.1 + slow * (step >= 2)},100.0,{0.01 + slow},"
            for step in range(count)
        ]
        path.write_text("\n".join([*heads, *rows]) + "\n", encoding="utf-8")

    metrics(traffic / "noissue" / "metrics.csv", 1_700_100_000, 12, 0.0)
    metrics(traffic / "test" / "issue_3" / "metrics.csv", NORMAL_START, 5, 0.5)
    (traffic / "graph.csv").write_text(
        ",Front,Back_AWS::X\nFront,0.0,1.0\nBack_AWS::X,0.0,0.0\n", encoding="utf-8"
    )
    target = {"node": "Front", "metric": "latency", "agg": "Average"}
    (traffic / "test" / "issue_3" / "target.json").write_text(
        json.dumps(
            {
                "target": {**target, "timestamp": NORMAL_START + 485},
                "root_cause": {"node": "Back_AWS::X", "metric": None},
            }
        ),
        encoding="utf-8",
    )
    return root


@pytest.fixture
def nezha(tmp_path: Path) -> Path:
    """One CPU fault at 08:43:04, with logs and spans of three minutes; one log row is malformed."""
    root, day = tmp_path / "nezha", "2023-01-29"
    data, calm = root / "rca_data" / day, root / "construct_data" / day
    pod, other = "ts-food-service-f5756978c-k8vqf", "ts-ui-dashboard-5477b965f-2chkr"
    fault = {
        "inject_time": f"{day} 08:43:04",
        "inject_timestamp": "1674953044",
        "inject_pod": pod,
        "inject_type": "cpu_contention",
    }
    data.mkdir(parents=True)
    (data / f"{day}-fault_list.json").write_text(json.dumps({"08": [fault]}), encoding="utf-8")
    begin = 1_674_981_669  # 08:41:09
    for name in (pod, other):
        rows = [
            ["t", begin + 60 * minute, name, 400 if name == pod and 2 <= minute < 6 else 4, 0]
            for minute in range(40)
        ]
        header = ["Time", "TimeStamp", "PodName", "CpuUsage(m)", "PodServerLatencyP90(s)"]
        write_csv(data / "metric" / f"{name}_metric.csv.gz", header, rows)
    log_header = ["Timestamp", "TimeUnixNano", "Node", "PodName", "Container", "TraceID", "SpanID"]
    span_header = ["TraceID", "SpanID", "ParentID", "PodName", "OperationName"]
    for folder, minute, start in (
        (calm, "08_50", begin + 540),
        *((data, f"08_{43 + n}", begin + 60 * (n + 1)) for n in range(3)),
    ):
        ns = start * 10**9 + 5
        message = json.dumps({"log": "INFO ready\n", "stream": "stdout"}).replace('"', '""')
        rows = [["t", ns, "n", pod, "server", "a", "b", f'"{message}"']]
        if minute == "08_44":
            rows.append([*rows[0], "one", "too many"])
            rows.append(["t", ns + 1, "n", other, "server", "a", "b", "no json"])
        write_csv(folder / "log" / f"{minute}_log.csv.gz", [*log_header, "Log"], rows)
        times = ["StartTimeUnixNano", "EndTimeUnixNano", "Duration"]
        spans = [
            ["x", f"p{minute}", "root", other, "GET", ns, ns + 900, 0],
            ["x", f"c{minute}", f"p{minute}", pod, "food", ns + 100, ns + 700, 0],
        ]
        write_csv(folder / "trace" / f"{minute}_trace.csv.gz", [*span_header, *times], spans)
    return root


@pytest.fixture
def rcaeval(tmp_path: Path) -> Path:
    """One case of RE2 with simple and full metrics, logs and spans."""
    folder = tmp_path / "RE2" / "RE2-OB" / "cartservice_disk" / "1"
    start = NORMAL_START
    rows = [[start + s, s % 4, 1 + s % 2, 20 + s % 3] for s in range(30)]
    write_csv(
        folder / "simple_metrics.csv",
        ["time", "cartservice_diskio", "cartservice_cpu", "front-end_latency-90"],
        rows,
    )
    write_csv(
        folder / "metrics.csv",
        [
            "time",
            "cartservice_container-fs-writes-total",
            "cartservice_fs-usage",
            "front-end_load-1",
        ],
        rows,
    )
    (folder / "inject_time.txt").write_text(f"{start + 15}\n", encoding="utf-8")
    ns = start * 10**9
    write_csv(
        folder / "logs.csv",
        ["time", "timestamp", "container_name", "message"],
        [["0:0", ns, "cartservice", "started"], ["0:1", ns + 7, "front-end", "ready"]],
    )
    write_csv(
        folder / "traces.csv",
        [
            "traceID",
            "spanID",
            "serviceName",
            "operationName",
            "startTime",
            "duration",
            "statusCode",
            "parentSpanID",
        ],
        [
            ["t", "a", "front-end", "GET /", start * 10**6, 900, 200, ""],
            ["t", "b", "cartservice", "add", start * 10**6 + 10, 500, 500.0, "a"],
        ],
    )
    return tmp_path / "RE2"


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """One case as the reference system's preparation leaves it."""
    folder = tmp_path / "llm" / "ray-replicas-0_network" / "3"
    columns = ["time", "ray-replicas-0_ctn_cpu", "ray-replicas-0_ctn_network"]
    columns += ["ray-replicas-0_node_cpu", "ray-replicas-0_pod_ip", "ray-head_latency-90"]
    rows = [[NORMAL_START + 5 * s, 0.5, s % 5, 0.7, "10.0.0.7", 30 + s % 2] for s in range(30)]
    write_csv(folder / "data.csv", columns, rows)
    write_csv(
        folder / "mpg.csv",
        ["source", "destination"],
        [["ray-head", "ray-replicas-0"], ["ray-head", "10.0.0.1:10250"]],
    )
    (folder / "inject_time.txt").write_text(str(NORMAL_START + 75), encoding="utf-8")
    return tmp_path / "llm"
