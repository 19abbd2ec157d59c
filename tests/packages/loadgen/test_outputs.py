# SPDX-License-Identifier: Apache-2.0
"""What a finished run is written as."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from loadgen import OutputError, Profile, Result, run
from loadgen.events import Events
from loadgen.mock.settings import FaultRule
from loadgen.outputs import extras, html, parquet, vllm
from loadgen.records import Record
from loadgen.write import mark
from rca_engine.schemas.tables import TABLES

pytestmark = pytest.mark.slow


@pytest.fixture
def broken_run(load: Callable[..., Any]) -> Result:
    """A run of thirty requests, ten of them warm-up, five of them refused."""
    rules = (FaultRule.parse("503@15-19"),)
    result, _ = load({"faults": rules}, warmup_s=0.2, duration_s=0.4)
    return result


def test_the_seconds_of_a_run_add_up(broken_run: Result) -> None:
    rows = list(csv.DictReader((broken_run.folder / "timeseries.csv").open()))
    records = broken_run.records()
    for column, wanted in {
        "due": 30,
        "sent": 30,
        "ok": 25,
        "failed": 5,
        "met": 25,
        "output_tokens": 25 * 6,
    }.items():
        assert sum(float(row[column]) for row in rows) == pytest.approx(wanted), column
    assert [row["elapsed_s"] for row in rows] == [str(second) for second in range(len(rows))]
    assert rows[-1]["in_flight"] == "0"
    assert rows[0]["time"] == broken_run.summary["start"]
    # All thirty were due in the first second; one in six failed, so that p95 is infinite.
    ordered = sorted(r.response_ttft_ms for r in records if r.response_ttft_ms is not None)
    assert float(rows[0]["ttft_p50_ms"]) == pytest.approx(ordered[14], rel=1e-5)
    assert rows[0]["ttft_p95_ms"] == "inf"


def test_vllm_gets_its_own_names_and_definitions(broken_run: Result) -> None:
    figures = json.loads(vllm.write(broken_run).read_text())
    done = [record for record in broken_run.measured() if record.success]
    assert (figures["completed"], figures["failed"]) == (15, 5)
    assert figures["total_output_tokens"] == 15 * 6
    assert figures["request_throughput"] == pytest.approx(15 / figures["duration"])
    for key, name in (
        ("ttft", "service_ttft_ms"),
        ("tpot", "tpot_ms"),
        ("e2el", "service_latency_ms"),
    ):
        values = np.array([getattr(record, name) for record in done])
        assert figures[f"mean_{key}_ms"] == pytest.approx(values.mean())
        assert figures[f"median_{key}_ms"] == pytest.approx(np.median(values))
        assert figures[f"std_{key}_ms"] == pytest.approx(values.std())
        assert figures[f"p99_{key}_ms"] == pytest.approx(np.percentile(values, 99))
    assert not [name for name in figures if "itl" in name]
    assert statistics.fmean(figures[f"p{p}_ttft_ms"] for p in (90, 95, 99)) > 0


def test_parquet_holds_the_records_as_a_case_does(broken_run: Result) -> None:
    table = pq.read_table(parquet.write(broken_run))
    written = [
        Record(**{**row, "outcome": record.outcome})
        for row, record in zip(table.to_pylist(), broken_run.records(), strict=True)
    ]
    assert written == broken_run.records()
    case = TABLES["requests"]
    assert {f.name: f.nullable for f in table.schema} == {f.name: f.nullable for f in case}


def test_the_page_says_what_happened_and_trusts_no_text(
    quick: Callable[..., Profile], with_mock: Callable[..., Any], tmp_path: Path
) -> None:
    async def body(url: str) -> Result:
        return await run(quick(url, duration_s=1, rate_per_s=20), tmp_path)

    result = with_mock(body)
    name = "<script>alert(1)</script>"
    events = Events("e.jsonl")
    start_ns = result.span_ns[0] + 300_000_000
    for kind, at in (("window_start", start_ns), ("window_end", start_ns + 400_000_000)):
        events.add_lines([json.dumps({"time_ns": at, "event": kind, "name": name}).encode()])
    marked = mark(result, events)
    text = html.write(marked).read_text()
    assert "20 requests, 0 failed" in text
    assert "alert(1)&lt;/script&gt;, from" in text
    assert name not in text
    again = Result.load(tmp_path)
    assert again.summary["windows"]["marked"][0]["during"]["due"] == 8
    rows = list(csv.DictReader((tmp_path / "timeseries.csv").open()))
    assert rows[0]["windows"] == name


@pytest.mark.parametrize(
    ("output", "package", "extra"),
    [(html, "plotly", "html"), (parquet, "pyarrow", "parquet")],
)
def test_what_is_not_installed_comes_with_the_command_that_installs_it(
    output: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(OutputError, match=rf"needs {package}.*pip install 'rcalab-llm\[{extra}\]'"):
        output.check()


def test_a_folder_without_a_finished_run_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no finished run: there is no summary\.json"):
        Result.load(tmp_path)
    (tmp_path / "summary.json").write_text('{"format": 9}')
    with pytest.raises(OutputError, match="no summary of format 1"):
        Result.load(tmp_path)


def test_a_run_without_an_answer_can_be_written_too(
    load: Callable[..., Any],
) -> None:
    result, _ = load({"faults": (FaultRule.parse("503@0-99"),)})
    for output in (html, parquet, vllm):
        assert output.write(result).stat().st_size > 0
    figures = json.loads((result.folder / vllm.NAME).read_text())
    assert (figures["completed"], figures["mean_ttft_ms"]) == (0, 0.0)
    assert not math.isnan(figures["request_throughput"])


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_draws_its_charts_in_a_browser(
    broken_run: Result, open_page: Callable[..., Any], width: int
) -> None:
    page = open_page(html.write(broken_run), width)

    plots = page.locator(".plot").all()
    assert plots
    for plot in plots:
        box = plot.locator("svg.main-svg").first.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= width
