# SPDX-License-Identifier: Apache-2.0
"""Every call of the window once, as spans that are linked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.deepflow import COLUMNS, DeepFlow
from servers.http import Flaky, Reply, as_json, serve

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.deepflow import Source, gather
from rca_engine.telemetry.http import Endpoint
from rca_engine.telemetry.placement import Placement
from rca_engine.telemetry.source import Gathered

START_S = 1_795_344_675
US = 1_000_000
WINDOW = Window(START_S * NS, (START_S + 25) * NS)
PLACES = Placement(
    pods={"nginx": "gateway/nginx", "head": "head/ray", "worker": "replica/llm-0"},
    addresses={"10.0.0.9": "client/loadgen"},
)


def row(
    identity: int, begin_us: int, point: str, pods: tuple[str, str], **more: Any
) -> dict[str, Any]:
    """One row as the querier has it: begins ``begin_us`` after the window and lasts a while."""
    lasts = more.pop("lasts", 1000)
    start = START_S * US + begin_us
    empty = dict.fromkeys(COLUMNS, "")
    return empty | {
        "_id": identity,
        "start_time": start,
        "end_time": start + lasts,
        "time": (start + lasts) // US,
        "response_duration": lasts,
        "response_status": 0,
        "response_code": 200,
        "l7_protocol_str": "HTTP",
        "request_type": "POST",
        "endpoint": "/v1/completions",
        "req_tcp_seq": 0,
        "syscall_trace_id_request": 0,
        "observation_point": point,
        "ip_0": "10.0.0.9",
        "ip_1": "10.0.0.1",
        "pod_0": pods[0],
        "pod_1": pods[1],
        "client_port": 40000,
        "server_port": 80,
    } | more  # fmt: skip


def fetch(rows, limit: int = 10_000) -> Gathered:
    with serve(rows if callable(rows) else DeepFlow(rows)) as url:
        return gather(Source(Endpoint(url), limit=limit), PLACES, WINDOW, deadline_s=20)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(-2 * US, 30 * US), st.integers(0, 20 * US)),
        max_size=50,
        unique_by=lambda each: each[0],
    ),
    st.integers(1, 12),
)
def test_no_call_is_lost_and_none_comes_twice(drawn, limit):
    rows = [row(n, begin, "s-p", ("", "nginx"), lasts=lasts) for n, begin, lasts in drawn]
    gathered = fetch(rows, limit)
    wanted = sorted(f"{n:016x}" for n, begin, _ in drawn if 0 <= begin <= 25 * US)
    assert sorted(each[1] for each in gathered.rows) == wanted


def test_an_answer_that_was_empty_too_early_is_not_believed_for_ten_minutes():
    deepflow = DeepFlow([])
    assert fetch(deepflow).rows == []
    deepflow.rows.append(row(1, 0, "s-p", ("", "nginx")))
    assert len(fetch(deepflow).rows) == 1


def chain() -> list[dict[str, Any]]:
    """A request from the client over gateway and head to a replica, seen at both ends of each."""
    link = {"nginx": ("nginx", "head"), "head": ("head", "worker")}
    addresses = {"nginx": ("10.0.0.1", "10.0.0.2"), "head": ("10.0.0.2", "10.0.0.3")}
    rows = [row(1, 0, "s-p", ("", "nginx"), lasts=900, req_tcp_seq=7, syscall_trace_id_request=50)]
    for place, (pod, pods) in enumerate(link.items(), start=1):
        own = {"ip_0": addresses[pod][0], "ip_1": addresses[pod][1], "req_tcp_seq": 100 + place}
        out = {"syscall_trace_id_request": 50} if pod == "nginx" else {"x_request_id_0": "r"}
        arrived = {"x_request_id_1": "r"} if pod == "nginx" else {"trace_id": "t" * 32}
        lasts = 900 - 200 * place
        rows += [
            row(10 * place, 100 * place, "c-p", pods, lasts=lasts, **own, **out),
            row(10 * place + 1, 100 * place + 10, "s-p", pods, lasts=lasts - 20, **own, **arrived),
            row(10 * place + 2, 100 * place + 5, "s", pods, lasts=lasts, **own),
        ]
    return rows


def test_both_ends_of_a_call_and_what_it_caused_are_one_trace():
    gathered = fetch(chain())
    spans = {each[1]: each for each in gathered.rows}
    assert [each[3] for each in gathered.rows] == [
        "gateway/nginx", "gateway/nginx", "head/ray", "head/ray", "replica/llm-0",
    ]  # fmt: skip
    parents = [spans[each[2]][3] if each[2] else None for each in gathered.rows]
    assert parents == [None, "gateway/nginx", "gateway/nginx", "head/ray", "head/ray"]
    assert {each[0] for each in gathered.rows} == {"t" * 32}
    assert gathered.calls == {("gateway/nginx", "head/ray"), ("head/ray", "replica/llm-0")}
    assert [each[5] for each in gathered.rows] == ["server", "client", "server", "client", "server"]


def test_an_address_may_name_a_component_and_errors_have_a_status():
    rows = [
        row(1, 0, "c-p", ("", "nginx"), response_status=3, response_code=502),
        row(2, 5, "c-p", ("", "nginx"), response_status=2, response_code=None),
        row(3, 5, "c-p", ("other", "nginx"), ip_0="10.9.9.9"),
    ]
    gathered = fetch(rows)
    assert [(each[3], each[8]) for each in gathered.rows] == [
        ("client/loadgen", "error"),
        ("client/loadgen", "unset"),
    ]
    assert "other to nginx (1)" in gathered.warnings[0]


def test_calls_that_each_claim_the_other_as_their_parent_end_in_one_trace():
    own = {"trace_id": "t" * 32}
    rows = [
        row(1, 0, "s-app", ("", "nginx"), span_id="a" * 16, parent_span_id="b" * 16, **own),
        row(2, 0, "s-app", ("", "nginx"), span_id="b" * 16, parent_span_id="a" * 16, **own),
    ]
    assert {each[0] for each in fetch(rows).rows} == {"t" * 32}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (as_json({"OPT_STATUS": "FAIL", "DESCRIPTION": "no such tag"}, 500),
         r"refused \(500, FAIL\): no such tag"),
        (as_json({"OPT_STATUS": "FAIL", "DESCRIPTION": "no such tag"}), r"refused \(200, FAIL\)"),
        (Reply(200, b"<html>"), "not an answer of DeepFlow: 200: <html>"),
        (as_json({"OPT_STATUS": "SUCCESS", "result": {"columns": ["id"], "values": [["1"]]}}),
         "without the columns client_port"),
    ],
)  # fmt: skip
def test_what_deepflow_refuses_is_told_in_its_words(answer, message):
    with pytest.raises(TelemetryError, match=message):
        fetch(lambda _: answer)


def test_null_is_nothing_and_a_busy_server_is_asked_again():
    nothing = as_json({"OPT_STATUS": "SUCCESS", "DESCRIPTION": "", "result": None})
    assert fetch(lambda _: nothing).rows == []
    rows = [row(1, 0, "s-p", ("", "nginx"))]
    assert len(fetch(Flaky(DeepFlow(rows), [Reply(503), Reply(429)])).rows) == 1
