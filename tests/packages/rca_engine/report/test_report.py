# SPDX-License-Identifier: Apache-2.0
"""What an engineer reads on the page, taken from its text as a browser would."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rca_engine.errors import CaseError
from rca_engine.report import write_report

ATTACK = """</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'"&<!--"""


class Page(HTMLParser):
    """The page as a reader gets it: its text, its elements, and its data block."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self._inside, self._figures = "", ""
        self.feed(html)
        self.text = re.sub(r"\s+", " ", self.text)
        self.figures = json.loads(self._figures)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag in ("script", "style"):
            self._inside = attributes.get("id", tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""
        elif tag in ("th", "td", "dt"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if self._inside == "figures":
            self._figures += data
        elif not self._inside:
            self.text += data


def report(run_dir: Path) -> Page:
    return Page(write_report(run_dir).read_text(encoding="utf-8"))


def test_says_in_plain_words_what_broke_and_who_named_it(run_dir):
    page = report(run_dir)
    assert (
        "CPU starvation hit replica/llm-0 from 60 s to 105 s. "
        "baro ranked it 1st of 3; nsigma ranked it 1st of 3." in page.text
    )


def test_marks_the_true_component_once_in_each_ranking(run_dir):
    page = report(run_dir)
    assert page.text.count("replica/llm-0 true cause") == 2
    assert page.text.count("true cause") == 2
    assert "cpu_throttled_periods_rate: 0 1/s → 9.7 1/s" in page.text


def test_true_component_is_shown_however_low_it_ranks(run_dir, edit):
    def bury(document):
        others = [f"node/n{number}" for number in range(30)]
        document["components"] = [
            {"rank": rank, "component": name, "score": 100.0 - rank}
            for rank, name in enumerate([*others, "replica/llm-0"], start=1)
        ]

    edit("diagnosis/baro.json", bury)
    page = report(run_dir)
    assert "baro ranked it 31st of 31" in page.text
    assert re.search(r"31 replica/llm-0 true cause", page.text)
    assert "20 more in diagnosis/baro.json" in page.text


def test_every_chart_shows_the_fault_window_and_the_alert_on_the_same_axis(run_dir):
    figures = report(run_dir).figures
    assert list(figures)[:3] == ["ttft", "requests", "tokens"]
    assert sum(name.startswith("metric-") for name in figures) == 5
    for figure in figures.values():
        band, alert = figure["layout"]["shapes"]
        assert (band["x0"], band["x1"]) == pytest.approx((60.0, 105.2))
        assert alert["x0"] == pytest.approx(64.0)
        assert figure["layout"]["xaxis"]["range"] == [0, 165.0]


def test_a_line_does_not_bridge_a_gap_in_the_telemetry(run_dir):
    trace = report(run_dir).figures["metric-1"]["data"][0]
    gap = [y for x, y in zip(trace["x"], trace["y"], strict=True) if 66 < x < 71]
    assert gap == [None]


def test_tokens_of_the_time_line_add_up(run_dir):
    trace = report(run_dir).figures["tokens"]["data"][0]
    assert sum(trace["y"]) == pytest.approx(32 * 375, rel=1e-6)


def test_tells_expected_gaps_from_unexplained_ones(run_dir, edit):
    assert "66 s to 71 s in 2 of 2 (expected: the pod was starved of CPU)" in report(run_dir).text

    def unexplain(document):
        document["completeness"][0]["gaps"][0] |= {"expected": False, "reason": None}

    edit("manifest.json", unexplain)
    page = report(run_dir)
    assert "5 of 6 required series are complete" in page.text
    assert "66 s to 71 s in 1 of 2 (unexplained)" in page.text


def test_shows_the_dose_and_a_step_that_did_not_come(run_dir):
    text = report(run_dir).text
    assert "cpu_usage_cores — 0.198" in text
    assert "steady state regained — did not come" in text
    assert "revert verified 105.20 s 16:01:45.20" in text


def test_simulator_and_notes_stand_in_a_banner(run_dir, edit):
    edit("case.json", lambda case: case.update(engine="simulator", notes=["clock not in sync"]))
    page = report(run_dir)
    assert ("div", {"class": "banner", "role": "note"}) in page.tags
    assert "The engine was “simulator”, not vLLM" in page.text
    assert "clock not in sync" in page.text
    assert page.text.index("clock not in sync") < page.text.index("CPU starvation hit")


def test_no_banner_where_nothing_is_to_be_said(run_dir):
    assert "Read this first" not in report(run_dir).text


def test_a_failed_method_shows_its_reason_and_no_ranking(run_dir, edit):
    failure = {"status": "failed", "reason": "no sample before the alert", "components": []}
    edit("diagnosis/baro.json", lambda document: document.update(failure, metrics=[]))
    page = report(run_dir)
    assert "baro failed; nsigma ranked it 1st of 3." in page.text
    assert "no sample before the alert" in page.text
    assert "highest scores of nsigma" in page.text


def test_an_empty_ranking_means_no_fault_found(run_dir, edit):
    edit("diagnosis/baro.json", lambda document: document.update(components=[], metrics=[]))
    page = report(run_dir)
    assert "baro found no fault" in page.text
    assert "It found no fault." in page.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"sham": True, "root_causes": [], "name": "sham"},
            "A sham: every step of a fault with no dose",
        ),
        ({"outcome": "not_effective"}, "CPU starvation of replica/llm-0 had no verified effect"),
        ({"outcome": "aborted"}, "was aborted, so this run can't judge a method"),
    ],
)
def test_a_run_that_cannot_judge_says_so(run_dir, edit, changes, said):
    edit("ground_truth.json", lambda truth: truth.update(changes))
    assert said in report(run_dir).text


def test_a_fault_never_reverted_reaches_the_end_of_the_run(run_dir, edit):
    edit("ground_truth.json", lambda truth: truth["times"].update(revert_verified=None))
    page = report(run_dir)
    assert "from 60 s and its revert was never verified" in page.text
    assert page.figures["ttft"]["layout"]["shapes"][0]["x1"] == 165.0


def test_missing_parts_are_said_in_words(run_dir):
    (run_dir / "ground_truth.json").unlink()
    (run_dir / "requests.parquet").unlink()
    for path in (run_dir / "diagnosis").iterdir():
        path.unlink()
    page = report(run_dir)
    assert "is not known (no ground truth)" in page.text
    assert "No method has diagnosed it yet." in page.text
    assert "The case holds no request records" in page.text
    assert "The case has no ground truth" in page.text
    assert page.figures == {}


def test_a_load_without_any_success_is_still_a_report(run_dir):
    path = run_dir / "requests.parquet"
    table = pq.read_table(path, partitioning=None)
    index = table.schema.get_field_index("outcome")
    outcomes = pa.array(["refused"] * table.num_rows)
    pq.write_table(table.set_column(index, table.schema.field(index), outcomes), path)
    page = report(run_dir)
    assert "no request succeeded" in page.text
    assert "383 failed (383 refused)" in page.text


def test_hostile_text_stays_text(run_dir, edit):
    edit("case.json", lambda case: case.update(scenario=ATTACK, notes=[ATTACK]))
    edit("case.json", lambda case: case["versions"].update({ATTACK: ATTACK}))
    edit("ground_truth.json", lambda truth: truth.update(messages=[ATTACK], mechanism=ATTACK))
    edit("diagnosis/nsigma.json", lambda each: each.update(status="failed", reason=ATTACK))

    def rename(document):
        for entry in [*document["components"], *document["metrics"]]:
            entry["component"] = ATTACK
        for entry in document["metrics"]:
            entry["metric"] = ATTACK
            entry["evidence"]["unit"] = ATTACK

    edit("diagnosis/baro.json", rename)
    page = report(run_dir)
    assert page.text.count(ATTACK) > 10
    assert "img" not in {tag for tag, _ in page.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    # Plotly reads a subset of HTML in its own text, so what it is given is escaped for it too.
    drawn = page.figures["metric-1"]
    assert drawn["data"][0]["name"].startswith("&lt;/script&gt;")
    assert drawn["layout"]["annotations"][0]["text"].startswith("&lt;/script&gt;")


def test_logs_spans_and_what_was_ruled_out_stand_beside_the_ranking(run_dir, edit):
    def explain(document):
        document["components"][0]["signals"] = [
            {"kind": "log", "template": "worker <*> died", "before": 0.0, "after": 2.5,
             "unit": "1/s", "sample": "worker 17 died"},
            {"kind": "span", "operation": "decode", "before_ms": 200.0, "after_ms": None,
             "count_before": 9, "count": 4, "errors": 3},
        ]  # fmt: skip
        reason = "no deviation beyond 3 in 5 of 9 metrics"
        document["ruled_out"] = [
            {"kind": "quiet", "component": None, "reason": reason, "metrics": 5, "score": 1.0}
        ]

    edit("diagnosis/baro.json", explain)
    text = report(run_dir).text
    assert "log “worker <*> died”: 0 1/s → 2.5 1/s, such as “worker 17 died”" in text
    assert "span “decode”: 200 ms → absent, 3 of 4 failed" in text
    assert "no deviation beyond 3 in 5 of 9 metrics" in text


def test_hostile_log_lines_stay_text(run_dir, edit):
    def poison(document):
        document["components"][0]["signals"] = [
            {"kind": "log", "template": ATTACK, "before": 0.0, "after": 1.0, "unit": "1",
             "sample": "\x1b[2J\u202e" + ATTACK + "x" * 5000},
        ]  # fmt: skip
        document["ruled_out"] = [
            {"kind": "within_normal", "component": ATTACK, "reason": ATTACK, "metrics": 1,
             "score": 0.0}
        ]  # fmt: skip

    edit("diagnosis/baro.json", poison)
    page = report(run_dir)
    assert page.text.count(ATTACK) == 3
    assert "img" not in {tag for tag, _ in page.tags}
    assert "x" * 400 not in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_page_refers_to_nothing_outside_itself(run_dir):
    page = report(run_dir)
    links = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert links == ["data:,"]
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and "content-security-policy" in str(attributes).lower()
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_same_case_same_bytes(run_dir):
    first = write_report(run_dir).read_bytes()
    assert write_report(run_dir).read_bytes() == first


def test_without_a_case_nothing_is_written(tmp_path):
    with pytest.raises(CaseError, match="no case here"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
