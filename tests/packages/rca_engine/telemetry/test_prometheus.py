# SPDX-License-Identifier: Apache-2.0
"""What Prometheus answers, and what happens when it does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from servers.http import Asked, Reply, serve
from servers.prometheus import free_port, programs, prometheus, run, wait_for_scrapes

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, Window
from rca_engine.telemetry.derive import derive
from rca_engine.telemetry.http import Endpoint
from rca_engine.telemetry.prometheus import Fetched, Selection, fetch
from rcalab_common.times import now_ns

SELECTION = Selection("ray", ("a_total", "b"))


def matrix(*values: tuple[float, str], **more: object) -> bytes:
    series = {"metric": {"__name__": "b", "component": "head/ray"}, "values": list(values)}
    data = {"resultType": "matrix", "result": [series] if values else []}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def get(answer, start: float = 1000, end: float = 1100) -> Fetched:
    def reply(asked: Asked) -> Reply:
        return Reply(*answer(asked.params))

    with serve(reply) as url:
        return fetch(url, [SELECTION], Window(round(start * NS), round(end * NS)), deadline_s=5)


def test_samples_keep_their_scrape_times_and_come_once():
    asked = []

    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        asked.append((query["query"], query["time"]))
        # The same sample on the border of two chunks, and one outside the window.
        return 200, matrix((999.0, "7"), (1059.821, "1"), (1060.0, "2"))

    fetched = get(answer)
    times, readings = fetched.samples.series(0)
    assert times.tolist() == [1059_821_000_000, 1060_000_000_000]
    assert readings.tolist() == [1.0, 2.0]
    assert fetched.samples.component(0) == "head/ray"
    selector = '{job="ray",__name__=~"a_total|b"}'
    asked.sort(key=lambda each: each[1])
    assert asked == [(f"{selector}[61s]", "1060"), (f"{selector}[40s]", "1100")]
    assert sorted(query["rows"] for query in fetched.queries) == [0, 2]
    assert {query["status"] for query in fetched.queries} == {200}


def test_warnings_of_the_server_are_kept():
    body = matrix((1001.0, "NaN"), warnings=["truncated"], infos=["not a counter"])
    fetched = get(lambda _: (200, body), end=1010)
    assert fetched.warnings == ("truncated", "not a counter")


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_answers_are_read_with_and_without_blanks(separators):
    strange = {"__name__": "b", "note": '"values":[[1,"2"]]', "é": "]]"}
    values = [[1001.5, "NaN"], [1002, "+Inf"], [1003.123, "-1.5e-3"], [1004, "12345678.123456789"]]
    more = {"metric": {"__name__": "a_total"}, "values": [[1001, "1"]]}
    result = [{"metric": strange, "values": values}, more]
    document = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    samples = get(lambda _: (200, json.dumps(document, separators=separators).encode())).samples
    times, readings = samples.series(1)
    assert (times // 1_000_000).tolist() == [1001_500, 1002_000, 1003_123, 1004_000]
    np.testing.assert_array_equal(readings, [np.nan, np.inf, -1.5e-3, 12345678.123456789])
    assert samples.labels[1] == {"note": '"values":[[1,"2"]]', "é": "]]"}
    assert samples.series(0)[1].tolist() == [1.0]


def test_samples_that_are_no_numbers_are_no_answer():
    body = b'{"data":{"result":[{"metric":{"__name__":"b"},"values":[[1001,"1"],[1002,"x"]]}]}}'
    with pytest.raises(TelemetryError, match="not an answer of Prometheus"):
        get(lambda _: (200, body), end=1010)


def test_native_histograms_are_told_by_name():
    body = json.loads(matrix((1001.0, "1")))
    body["data"]["result"][0]["histograms"] = [[1002.0, {"count": "3"}]]
    fetched = get(lambda _: (200, json.dumps(body).encode()), end=1010)
    assert fetched.warnings == ("native histograms are not read: b",)
    assert fetched.samples.series(0)[1].tolist() == [1.0]


def test_a_selector_open_or_closed_at_its_left_end_gives_the_same_samples():
    times = np.arange(990, 1131) + 0.0

    def answers(closed: bool):
        def answer(query: dict[str, str]) -> tuple[int, bytes]:
            end, length = float(query["time"]), float(query["query"].split("[")[1][:-2])
            low = times >= end - length if closed else times > end - length
            return 200, matrix(*((t, f"{t}") for t in times[low & (times <= end)].tolist()))

        return answer

    for closed in (True, False):
        kept, _ = get(answers(closed), start=1000, end=1125.5).samples.series(0)
        assert (kept // NS).tolist() == list(range(1000, 1126))


def test_a_query_that_loads_too_much_is_halved_until_it_passes():
    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        end, length = int(query["time"]), int(query["query"].split("[")[1][:-2])
        if length > 16:
            error = "query processing would load too many samples into memory in query execution"
            return 422, json.dumps({"status": "error", "error": error}).encode()
        return 200, matrix(*((float(t), "1") for t in range(end - length, end + 1)))

    times, _ = get(answer, start=1000, end=1100).samples.series(0)
    assert (times // NS).tolist() == list(range(1000, 1101))
    with pytest.raises(TelemetryError, match="more samples than Prometheus loads"):
        get(lambda _: (422, b"too many samples"), end=1010)


def test_a_token_is_sent_and_never_told(tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    seen = []

    def reply(asked: Asked) -> Reply:
        seen.append((asked.headers.get("authorization"), asked.headers.get("x-scope-orgid")))
        return Reply(403, b"no")

    with serve(reply) as url:
        endpoint = Endpoint(url, token_file=token, tenant="lab")
        with pytest.raises(TelemetryError) as error:
            fetch(endpoint, [SELECTION], Window(NS, 2 * NS), deadline_s=5)
    assert seen == [("Bearer s3cret", "lab")]
    assert "s3cret" not in f"{error.value}{endpoint!r}"
    with pytest.raises(TelemetryError, match="is empty or not set"):
        fetch(Endpoint(url, token_env="RCALAB_NO_SUCH_TOKEN"), [SELECTION], Window(NS, 2 * NS))


START_S = 1_767_225_600


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Four hours of two series at one a second, a restart of their target, and an absent hour."""
    lines = ["# TYPE gauge_now gauge"]
    seconds = 4 * 3600
    for series in range(2):
        head = f'gauge_now{{job="ray",component="replica/llm-{series}"}}'
        lines += [
            f"{head} {second + series / 2} {START_S + second}.123" for second in range(seconds)
        ]
    lines.append("# TYPE work counter")
    head = 'work_total{job="ray",component="replica/llm-0"}'
    # It counts two a second; its target restarts at second 5000 and is away for ten.
    lines += [
        f"{head} {2 * (second if second < 5000 else second - 5010)} {START_S + second}.5"
        for second in range(seconds)
        if not 5000 <= second < 5010
    ]
    with prometheus(tmp_path_factory.mktemp("stored"), lines) as url:
        yield url


@pytest.mark.slow
def test_a_real_server_gives_every_sample_once_past_the_limit_of_11_000_points(stored):
    window = Window(START_S * NS, (START_S + 4 * 3600) * NS)
    selections = [Selection("ray", ("gauge_now", "work_total"))]
    samples = fetch(stored, selections, window).samples
    assert samples.names == ("gauge_now", "gauge_now", "work_total")
    for series in range(2):
        times, readings = samples.series(series)
        assert times.tolist() == [
            START_S * NS + second * NS + 123_000_000 for second in range(4 * 3600)
        ]
        assert readings.tolist() == [second + series / 2 for second in range(4 * 3600)]
    assert samples.series(2)[0].size == 4 * 3600 - 10


@pytest.mark.slow
def test_a_restart_of_the_target_in_the_window_loses_no_sample_and_shows_no_fall(stored):
    window = Window((START_S + 4900) * NS, (START_S + 5100) * NS)
    samples = fetch(stored, [Selection("ray", ("work_total",))], window).samples
    grid = np.arange(window.start_ns + 20 * NS, window.end_ns, NS)
    spec = {"kind": "rate", "components": ["replica"], "source": {"series": ["work_total"]}}
    [rates] = derive(samples, {"m": spec}, grid).matrix.T
    known = rates[np.isfinite(rates)]
    assert known.min() >= 0
    assert np.median(known) == pytest.approx(2.0)
    assert np.isnan(rates).sum() >= 5


@pytest.mark.slow
def test_a_restart_of_prometheus_in_the_window_loses_only_what_it_did_not_scrape(tmp_path):
    server, _ = programs()
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "prometheus.yml"
    targets = {"targets": [address], "labels": {"component": "telemetry/prometheus"}}
    job = {"job_name": "self", "scrape_interval": "1s", "static_configs": [targets]}
    config.write_text(json.dumps({"scrape_configs": [job]}))
    begin_ns = now_ns()
    for count in (3, 6):
        with run(server, tmp_path / "data", config, address=address) as url:
            wait_for_scrapes(url, "self", count)
            kept = fetch(url, [Selection("self", ("up",))], Window(begin_ns, now_ns()))
    times, _ = kept.samples.series(0)
    assert times.size >= 6
    assert (np.diff(times) > 0).all()
    # It was away: one pause is longer than the interval, and no sample fills it.
    assert np.diff(times).max() > 1.5 * NS


@pytest.mark.slow
def test_a_window_between_two_scrapes_has_both_its_ends(stored):
    window = Window(START_S * NS + 1_123_000_000, START_S * NS + 60_123_000_000)
    times, _ = fetch(stored, [Selection("ray", ("gauge_now",))], window).samples.series(0)
    assert times[[0, -1]].tolist() == [window.start_ns, window.end_ns]
    assert times.size == 60


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, b'{"status":"error","errorType":"execution","error":"no such function"}'),
        (200, b"<html>welcome</html>"),
        (200, b'{"status":"success"}'),
        (200, b'{"status":"success","data":{"result":[{"metric":{}}]}}'),
        (404, b"not here"),
    ],
)
def test_what_is_no_answer_is_told_with_its_address(status, body):
    with pytest.raises(TelemetryError, match=r"http://127.0.0.1:\d+: not an answer of Prometheus"):
        get(lambda _: (status, body), end=1010)


def test_a_server_that_recovers_is_asked_again():
    calls = []

    def answer(_query: dict[str, str]) -> tuple[int, bytes]:
        calls.append(1)
        return (503, b"") if len(calls) == 1 else (200, matrix((1001.0, "1")))

    assert len(get(answer, end=1010).samples) == 1


def test_an_unreachable_server_is_told_with_what_to_do():
    with pytest.raises(TelemetryError, match=r"can't be reached .*refused.* is the lab up"):
        fetch("http://127.0.0.1:1", [SELECTION], Window(0, NS), deadline_s=5)


def test_the_deadline_bounds_all_queries_together():
    with pytest.raises(TelemetryError, match="took too long"), serve(lambda _: Reply()) as url:
        fetch(url, [SELECTION], Window(0, NS), deadline_s=0)


def test_a_recorded_answer_of_a_real_server_is_read(test_data: Path):
    body = (test_data / "recorded" / "prometheus" / "instant_matrix.json").read_bytes()
    first = json.loads(body)["data"]["result"][0]
    start = first["values"][0][0]
    fetched = get(lambda _: (200, body), start=start - 1, end=start + 10)
    names = dict(zip(fetched.samples.names, fetched.samples.labels, strict=True))
    assert names["vllm:num_requests_running"]["job"] == "vllm_fake"
    times, readings = fetched.samples.series(0)
    assert times[0] == round(start * 1000) * 1_000_000
    assert readings[0] == float(first["values"][0][1])
