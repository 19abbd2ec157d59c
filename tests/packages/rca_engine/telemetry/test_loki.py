# SPDX-License-Identifier: Apache-2.0
"""Every line of the window once, whatever fills a page."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.http import Asked, Flaky, Reply, as_text, serve
from servers.loki import NS, Line, Loki

from rca_engine.errors import TelemetryError
from rca_engine.model import Window
from rca_engine.telemetry.http import Endpoint
from rca_engine.telemetry.loki import Source, gather, with_matcher
from rca_engine.telemetry.placement import Placement, Rule
from rca_engine.telemetry.source import Gathered

BASE = 1_795_344_736_953_244_242
QUERY = '{namespace="ray"}'
PLACES = Placement(pods={f"pod-{n}": f"replica/llm-{n}" for n in range(3)})
WINDOW = Window(BASE, BASE + 20 * NS - 1)


def labels(pod: str, **more: str) -> tuple[tuple[str, str], ...]:
    return tuple({"namespace": "ray", "pod": pod, **more}.items())


def fetch(loki, limit: int = 10, window: Window = WINDOW, **endpoint: object) -> Gathered:
    with serve(loki) as url:
        source = Source(Endpoint(url, **endpoint), QUERY, limit)
        return gather(source, PLACES, window, deadline_s=20)


def kept(gathered: Gathered) -> Counter[tuple[int, str, str]]:
    return Counter((row[0], row[1], row[4]) for row in gathered.rows)


def expected(lines: list[Line]) -> Counter[tuple[int, str, str]]:
    return Counter(
        (line.time_ns, PLACES.pods[dict(line.labels)["pod"]], line.text)
        for line in lines
        if WINDOW.start_ns <= line.time_ns <= WINDOW.end_ns
    )


stored = st.lists(
    st.builds(
        Line,
        # Few instants, so that whole pages share one.
        st.sampled_from([BASE - 1, BASE, BASE + 1, BASE + NS, BASE + 7 * NS, WINDOW.end_ns])
        | st.integers(BASE - NS, BASE + 21 * NS),
        st.sampled_from([labels(f"pod-{n}", container=c) for n in range(3) for c in "ab"]),
        st.text(st.characters(codec="utf-8"), max_size=4),
        st.sampled_from([(), (("trace_id", "1"),), (("trace_id", "2"),)]),
    ),
    max_size=60,
    unique=True,
)


@settings(max_examples=60, deadline=None)
@given(stored, st.integers(10, 25))
def test_no_line_is_lost_and_none_comes_twice(lines, cap):
    # One stream may have at most a page of lines at an instant, else no paging can pass it.
    at_once = Counter((line.time_ns, line.labels) for line in lines)
    loki = Loki([line for line in lines if at_once[line.time_ns, line.labels] < 10], cap=cap)
    gathered = fetch(loki)
    assert kept(gathered) == expected(loki.lines)
    assert gathered.facts["expected"] == gathered.facts["received"]
    assert gathered.warnings == ()


def test_a_burst_at_one_timestamp_is_passed_by_a_larger_limit():
    burst = [Line(BASE + NS, labels("pod-0"), f"line {n}") for n in range(1500)]
    after = [Line(BASE + 2 * NS + n, labels("pod-1"), "later") for n in range(30)]
    gathered = fetch(Loki([*burst, *after]), limit=100)
    assert kept(gathered) == expected([*burst, *after])


def test_a_burst_beyond_the_cap_is_passed_by_asking_for_its_streams_in_parts():
    burst = [
        Line(BASE + NS, labels(f"pod-{n % 3}", container=f'"{n % 7}"'), f"line {n}")
        for n in range(900)
    ]
    burst += [Line(BASE + NS, labels("pod-0"), f"bare {n}") for n in range(40)]
    gathered = fetch(Loki(burst, cap=100), limit=100)
    assert kept(gathered) == expected(burst)


def test_more_of_one_stream_at_one_timestamp_than_a_page_holds_is_an_error():
    burst = [Line(BASE + NS, labels("pod-0"), f"line {n}") for n in range(101)]
    with pytest.raises(TelemetryError, match="raise max_entries_limit_per_query"):
        fetch(Loki(burst, cap=100), limit=100)


def test_the_cap_is_learned_from_the_refusal():
    lines = [Line(BASE + n, labels("pod-0"), str(n)) for n in range(300)]
    gathered = fetch(Loki(lines, cap=70), limit=5000)
    assert kept(gathered) == expected(lines)
    assert Counter(query["status"] for query in gathered.queries)[400] == 1


def test_lines_of_no_component_are_counted_and_named():
    lines = [Line(BASE, labels("stranger"), "a"), Line(BASE, labels("pod-0"), "b")]
    gathered = fetch(Loki(lines))
    assert [row[4] for row in gathered.rows] == ["b"]
    assert "1 lines belong to no component and were left out: stranger (1)" in gathered.warnings[0]
    rules = (Rule("gateway/nginx", {"pod": "stranger"}),)
    with serve(Loki(lines)) as url:
        whole = gather(Source(Endpoint(url), QUERY), PLACES.with_rules(rules), WINDOW)
    assert [row[1] for row in whole.rows] == ["gateway/nginx", "replica/llm-0"]


def test_levels_come_from_labels_and_metadata():
    lines = [
        Line(BASE, labels("pod-0", stream="stderr"), "x", (("detected_level", "warn"),)),
        Line(BASE + 1, labels("pod-0"), "y", (("detected_level", "unknown"),)),
    ]
    assert [row[2:4] for row in fetch(Loki(lines)).rows] == [("stderr", "warning"), ("loki", None)]


def test_the_tenant_is_named():
    lines = [Line(BASE, labels("pod-0"), "a")]
    assert len(fetch(Loki(lines, tenant="lab"), tenant="lab").rows) == 1
    with pytest.raises(TelemetryError, match=r"Loki refused \(401\): no org id"):
        fetch(Loki(lines, tenant="lab"))


def test_lines_that_loki_counts_but_does_not_give_are_told():
    lines = [Line(BASE + n, labels("pod-0"), str(n)) for n in range(5)]
    loki = Loki(lines)

    def forgets(asked: Asked) -> Reply:
        if asked.path.endswith("query_range"):
            return Loki(lines[:3])(asked)
        return loki(asked)

    gathered = fetch(forgets)
    assert (gathered.facts["expected"], gathered.facts["received"]) == (5, 3)
    assert "counts 5 lines" in gathered.warnings[0]


def test_pages_that_fail_break_off_or_come_late_are_asked_again():
    lines = [Line(BASE + n, labels("pod-0"), str(n)) for n in range(25)]
    params = {"query": QUERY, "start": str(BASE), "end": str(BASE + NS), "limit": "10"}
    whole = Loki(lines)(Asked("GET", "/loki/api/v1/query_range", params, {})).body
    broken = [Reply(503), Reply(429, headers={"Retry-After": "0"}), Reply(200, whole, cut=40)]
    assert kept(fetch(Flaky(Loki(lines), broken))) == expected(lines)


def test_a_query_that_is_wrong_is_told_in_lokis_words():
    with pytest.raises(TelemetryError, match=r"Loki refused \(400\): parse error at line 1"):
        fetch(lambda _: as_text("parse error at line 1, col 12: syntax error"))


@pytest.mark.parametrize(
    ("query", "split"),
    [
        ('{a="b"}', '{a="b",pod="x\\"y"}'),
        ('{a="}", b=~`{.*`, } |= "{z}"', '{a="}", b=~`{.*`,pod="x\\"y"} |= "{z}"'),
    ],
)
def test_a_query_is_split_within_its_selector(query, split):
    assert with_matcher(query, "pod", 'x"y') == split


def test_the_stand_in_answers_in_the_shape_of_the_recorded_ones(test_data: Path):
    recorded = test_data / "recorded" / "loki"

    def shape(value):
        if isinstance(value, dict):
            kept = ("stream", "structuredMetadata", "metric")
            return {key: "labels" if key in kept else shape(each) for key, each in value.items()
                    if key != "stats"}  # fmt: skip
        if isinstance(value, list):
            return (
                [shape(value[0])]
                if value and isinstance(value[0], dict | list)
                else [
                    type(each).__name__ if not isinstance(each, dict) else shape(each)
                    for each in value
                ]
            )
        return value if value in ("success", "streams", "vector") else type(value).__name__

    line = Line(BASE, labels("pod-0"), "x", (("detected_level", "info"),))
    loki = Loki([line])
    span = {"query": QUERY, "start": str(BASE), "end": str(BASE + NS)}

    def ask(path: str, headers: dict[str, str], **params: str) -> object:
        asked = Asked("GET", f"/loki/api/v1/{path}", {**span, **params}, headers)
        return json.loads(loki(asked).body)

    apart = {"x-loki-response-encoding-flags": "categorize-labels"}
    count = {"query": f"sum(count_over_time({QUERY} [1s]))", "time": str(BASE)}
    for name, answer in (
        ("query_range_default_limit", ask("query_range", {})),
        ("query_range_categorize_labels", ask("query_range", apart)),
        ("count_over_time", ask("query", {}, **count)),
        ("series", ask("series", {}, **{"match[]": QUERY})),
    ):
        real = shape(json.loads((recorded / f"{name}.body").read_bytes()))
        mine = shape(answer)
        if name == "series":
            real["data"], mine["data"] = [type(real["data"][0])], [type(mine["data"][0])]
        assert mine == real, name
    asked = Asked("GET", "/loki/api/v1/query_range", {**span, "limit": "5001"}, {})
    refused = (recorded / "query_range_limit_5001.body").read_text().strip()
    assert loki(asked).body.decode() == refused
