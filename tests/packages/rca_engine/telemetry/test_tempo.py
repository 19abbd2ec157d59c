# SPDX-License-Identifier: Apache-2.0
"""Every trace of the window once and whole, whatever a search hides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.http import Asked, Flaky, Reply, as_text, serve
from servers.tempo import NS, Span, Tempo

from rca_engine.errors import TelemetryError
from rca_engine.model import Window
from rca_engine.telemetry.http import Endpoint
from rca_engine.telemetry.placement import Placement
from rca_engine.telemetry.source import Gathered
from rca_engine.telemetry.tempo import Source, gather, hexadecimal

START_S = 1_795_344_675
WINDOW = Window(START_S * NS + 431, (START_S + 40) * NS)
PLACES = Placement(
    pods={"nginx-0": "gateway/nginx", "head-0": "head/ray", "worker-0": "replica/llm-0"}
)
LATENCY = {
    "gen_ai.latency.time_in_queue": 0.2,
    "gen_ai.latency.time_to_first_token": 0.5,
    "gen_ai.latency.e2e": 2.0,
    "gen_ai.latency.time_in_model_prefill": 0.3,
    "gen_ai.latency.time_in_model_decode": 1.4,
}


def request(number: int, start_ns: int, **engine: object) -> list[Span]:
    ids = [f"{number:08x}{place:08x}" for place in (1, 2, 3)]
    failed = number == 1
    return [
        Span(ids[0], None, "nginx-0", "POST /v1/completions", start_ns, 2.2, failed=failed),
        Span(ids[1], ids[0], "head-0", "OpenAiIngress", start_ns + 1000, 2.1),
        Span(ids[2], ids[1], "worker-0", "llm_request", start_ns + 2000, 2.0, engine or LATENCY),
    ]


def stored(starts_ns: list[int]) -> dict[str, list[Span]]:
    """Traces whose ids begin with more or fewer zeros."""
    return {
        f"{(n + 1) << (4 * (n % 20)):032x}"[-32:]: request(n, start)
        for n, start in enumerate(starts_ns)
    }


def fetch(tempo, limit: int = 1000) -> Gathered:
    with serve(tempo) as url:
        return gather(Source(Endpoint(url), limit=limit), PLACES, WINDOW, deadline_s=30)


def trace_ids(gathered: Gathered) -> set[str]:
    return {row[0] for row in gathered.rows}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-5 * NS, 45 * NS), max_size=60), st.integers(1, 30))
def test_no_trace_of_the_window_is_lost_and_none_comes_twice(offsets, limit):
    traces = stored([START_S * NS + each for each in offsets])
    gathered = fetch(Tempo(traces), limit)
    wanted = {
        identity
        for identity, spans in traces.items()
        if WINDOW.start_ns <= spans[0].start_ns <= WINDOW.end_ns
    }
    assert trace_ids(gathered) == wanted
    assert len({row[:2] for row in gathered.rows}) == len(gathered.rows) == 6 * len(wanted)
    assert gathered.facts["unfetched"] == []


def test_one_second_that_fills_a_search_is_asked_with_a_larger_limit():
    traces = stored([START_S * NS + 5 * NS + n for n in range(300)])
    assert trace_ids(fetch(Tempo(traces), limit=20)) == traces.keys()


def test_a_request_of_vllm_has_its_phases_below_it():
    [identity] = traces = stored([START_S * NS + NS])
    gathered = fetch(Tempo(traces))
    rows = {row[4]: row for row in gathered.rows}
    engine = rows["llm_request"]
    assert {rows[name][2] for name in ("queue", "prefill", "decode")} == {engine[1]}
    begins = [rows[name][6] - engine[6] for name in ("queue", "prefill", "decode")]
    assert begins == [0, 200_000_000, 500_000_000]
    lengths = [rows[name][7] for name in ("queue", "prefill", "decode")]
    assert lengths == [200_000_000, 300_000_000, 1_400_000_000]
    assert {rows[name][3] for name in ("queue", "prefill", "decode")} == {"replica/llm-0"}
    assert [len(row[0]) for row in gathered.rows] == [32] * 6
    assert identity == engine[0]
    assert gathered.calls == {("gateway/nginx", "head/ray"), ("head/ray", "replica/llm-0")}


def test_both_spellings_of_the_attributes_are_one():
    spelled = {
        "gen_ai.latency.time_in_queue": 0.1,
        "gen_ai.server.time_to_first_token": 0.4,
        "gen_ai.server.request.duration": 5.0,
        "gen_ai.usage.input_tokens": 64,
        "gen_ai.usage.output_tokens": 32,
    }
    traces = {"0" * 31 + "1": request(0, START_S * NS + NS, **spelled)}
    rows = {row[4]: row for row in fetch(Tempo(traces)).rows}
    attributes = json.loads(rows["llm_request"][9])
    assert attributes["gen_ai.usage.prompt_tokens"] == 64
    assert attributes["gen_ai.usage.completion_tokens"] == 32
    assert rows["prefill"][7] == 300_000_000
    # A phase does not outlast its request.
    assert rows["decode"][6] + rows["decode"][7] == rows["llm_request"][6] + 2 * NS


def test_traces_that_are_gone_or_come_in_part_are_counted():
    traces = stored([START_S * NS + (n + 1) * NS for n in range(4)])
    lost, cut = list(traces)[:2]
    gathered = fetch(Tempo(traces, lost={lost}, partial={cut}))
    assert gathered.facts == {
        "found": 4, "fetched": 3, "unfetched": [lost], "outside_window": 0
    }  # fmt: skip
    assert "1 traces were found and then absent" in gathered.warnings
    assert f"1 traces came in part: {cut}: trace exceeds the maximum size" in gathered.warnings


def test_errors_have_a_status_and_strangers_are_told():
    traces = stored([START_S * NS + NS, START_S * NS + 2 * NS])
    gathered = fetch(Tempo(traces))
    assert sorted(row[8] for row in gathered.rows if row[4].startswith("POST")) == [
        "error",
        "unset",
    ]
    with serve(Tempo(traces)) as url:
        source = Source(Endpoint(url))
        none = gather(source, Placement(), WINDOW)
    assert none.rows == []
    assert "6 spans belong to no component and were left out: s (6)" in none.warnings[0]


def test_a_server_that_fails_for_a_while_is_asked_again():
    traces = stored([START_S * NS + n * NS for n in range(1, 30)])
    tempo = Flaky(Tempo(traces), [Reply(502), Reply(200, b'{"traces": [', cut=5), Reply(503)])
    assert trace_ids(fetch(tempo)) == traces.keys()


def test_what_tempo_refuses_is_told_in_its_words():
    with pytest.raises(TelemetryError, match=r"Tempo refused \(400\): invalid TraceQL"):
        fetch(lambda _: as_text("invalid TraceQL query: parse error"))


@pytest.mark.parametrize(
    ("written", "length", "expected"),
    [
        ("AAAAAAAAAAAPKnTeUua0OA==", 16, "00000000000000000f2a74de52e6b438"),
        ("EeILj2sNVJs=", 8, "11e20b8f6b0d549b"),
        ("36f675cc81e74ef5e8e25d940ed90475", 16, "36f675cc81e74ef5e8e25d940ed90475"),
        ("11E20B8F6B0D549B", 8, "11e20b8f6b0d549b"),
    ],
)
def test_ids_are_hexadecimal_and_whole(written, length, expected):
    assert hexadecimal(written, length) == expected


def recorded(test_data: Path, name: str) -> bytes:
    return (test_data / "recorded" / "tempo" / f"{name}.body").read_bytes()


def test_recorded_answers_are_read(test_data: Path):
    body = recorded(test_data, "trace_v2")
    search = {"traces": [{"traceID": "36f675cc81e74ef5e8e25d940ed90475"}]}

    def answer(asked: Asked) -> Reply:
        return Reply(200, json.dumps(search).encode() if asked.path == "/api/search" else body)

    places = Placement(pods={f"ray-replicas-{n}": f"replica/llm-{n}" for n in range(3)})
    with serve(answer) as url:
        gathered = gather(Source(Endpoint(url)), places, WINDOW)
    names = [row[4] for row in gathered.rows]
    assert names == ["llm_request", "queue", "prefill", "decode"]
    assert gathered.rows[0][0] == "36f675cc81e74ef5e8e25d940ed90475"
    assert gathered.rows[0][3] == "replica/llm-1"


def test_the_stand_in_answers_in_the_shape_of_the_recorded_ones(test_data: Path):
    traces = stored([START_S * NS])
    tempo = Tempo(traces)

    def keys(value, skip=("attributes", "serviceStats", "status", "metrics")):
        if isinstance(value, dict):
            return {key: keys(each) for key, each in value.items() if key not in skip}
        return [keys(value[0])] if isinstance(value, list) and value else type(value).__name__

    [identity] = traces
    for name, path, params in (
        ("trace_v2", f"/api/v2/traces/{identity}", {}),
        ("trace_v2_absent", "/api/v2/traces/ff", {}),
        ("search_window_10s", "/api/search", {"start": str(START_S), "end": str(START_S + 1)}),
        ("search_none", "/api/search", {"start": "1", "end": "2"}),
    ):
        mine = json.loads(tempo(Asked("GET", path, params, {})).body)
        assert keys(mine) == keys(json.loads(recorded(test_data, name))), name
