# SPDX-License-Identifier: Apache-2.0
"""Every fault makes a whole, labelled, repeatable case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from rca_engine import schemas
from rca_engine.case import Case
from rca_engine.cli import main
from rca_engine.errors import CaseError
from rca_engine.simulator import ClusterSpec, Timing, simulate
from rca_engine.simulator.catalogue import as_markdown
from rca_engine.simulator.faults import faults
from rcalab_common.files import sha256

ROOT = Path(__file__).resolve().parents[4]
TRUTH = ROOT / "plugins/module_utils/faults/schemas/ground_truth.json"


@pytest.mark.parametrize("fault", faults())
def test_the_truth_keeps_to_the_contract_and_to_the_vocabulary(play, fault):
    case = play(fault).case
    jsonschema.validate(dict(case.truth.record), json.loads(TRUTH.read_text(encoding="utf-8")))
    vocabulary = schemas.load("metrics")["metrics"]
    components = {each.id for each in case.topology.components}
    for component, metrics in case.truth.root_causes.items():
        assert component in components
        for metric in metrics:
            assert component.split("/")[0] in vocabulary[metric]["components"]


@pytest.mark.parametrize("fault", [each for each in faults() if each != "F00"])
def test_every_root_cause_metric_moves_more_than_it_does_in_a_sham(play, fault):
    run, sham = play(fault), play("F00")
    for component, metrics in run.case.truth.root_causes.items():
        for metric in metrics:
            resolution = run.case.metric_table[metric].resolution
            quiet = sham.matrix.get((component, metric))
            wander = 0.0 if quiet is None else float(quiet.loc[15:150].std())
            before = run.before(component, metric)
            moved = (run.matrix.loc[60:115, (component, metric)] - before).abs().max()
            assert moved > 3 * max(wander, resolution / 3), (component, metric)


@pytest.mark.parametrize("fault", faults())
def test_every_series_belongs_to_a_component_and_no_rate_is_negative(play, fault):
    case = play(fault).case
    metrics = case.table("metrics")
    assert set(metrics["component"]) <= {each.id for each in case.topology.components}
    rates = [name for name, each in case.metric_table.items() if each.kind == "rate"]
    assert metrics[metrics["metric"].isin(rates)]["value"].min() >= 0
    spans = case.table("traces")
    assert spans["span_id"].is_unique
    assert spans["duration"].min() >= 0
    assert set(spans["parent_span_id"].dropna()) <= set(spans["span_id"])
    assert case.manifest["completeness"]


def test_a_fault_meets_the_load_of_its_sham(play):
    columns = ["scheduled_ns", "prompt_tokens"]
    hit, sham = (
        play(fault).case.table("requests").sort_values("index")[columns].to_numpy()
        for fault in ("F12", "F00")
    )
    assert np.array_equal(hit, sham)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["F07", "F26"])
def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed(tmp_path, fault):
    program = (
        "import sys; from rca_engine.simulator import simulate; "
        "simulate(sys.argv[1], fault=sys.argv[2], seed=9)"
    )
    for number in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / number), fault],
            env={**os.environ, "PYTHONHASHSEED": number},
            check=True,
        )
    one, two = (
        {path.name: sha256(path) for path in sorted((tmp_path / number).rglob("*.*"))}
        for number in ("1", "2")
    )
    assert one == two
    assert {"metrics.parquet", "traces.parquet", "logs.parquet", "requests.parquet"} < one.keys()


def test_any_fault_has_a_sham(tmp_path):
    case = Case.load(simulate(tmp_path / "case", fault="F17", sham=True, seed=1))
    assert case.truth.sham
    assert case.truth.root_causes == {}
    assert case.truth.fault_window is None
    assert case.matrix()["gpu/simulated.0"]["gpu_sm_clock_mhz"].min() > 1300
    assert case.alert is None


def test_target_size_and_time_are_ones_own(tmp_path):
    timing = Timing(length_s=100.0, fault_s=(50.0, 80.0), scrape_interval_s=2.0)
    case = Case.load(
        simulate(
            tmp_path / "case",
            fault="F01",
            target="replica/llm-3",
            parameters={"cpu_limit_cores": 0.1},
            replicas=5,
            timing=timing,
        )
    )
    assert case.truth.root_causes.keys() == {"replica/llm-3"}
    assert case.truth.record["parameters"] == {"cpu_limit_cores": 0.1, "duration_s": 30.0}
    kinds = [each.kind for each in case.topology.components]
    assert (kinds.count("replica"), kinds.count("node"), kinds.count("gpu")) == (5, 3, 5)
    assert case.info.window.seconds == 100.0
    assert case.matrix()["replica/llm-3"]["cpu_throttled_periods_rate"].max() > 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fault": "F99"}, "no simulated fault 'F99'; there are F00, F01"),
        ({"target": "node/simulated"}, "F01 can hit replica/llm-0, replica/llm-1"),
        ({"target": "replica/llm-7"}, "not 'replica/llm-7'"),
        ({"parameters": {"cores": 1.0}}, "F01 has no parameter cores; it has cpu_limit_cores"),
        ({"replicas": 0}, "at least one replica"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(CaseError, match=message):
        simulate(tmp_path / "case", **arguments)
    assert not (tmp_path / "case").exists()


def test_a_fault_outside_the_run_is_refused():
    with pytest.raises(CaseError, match="must lie within the run"):
        Timing(length_s=100.0, fault_s=(90.0, 110.0))
    assert ClusterSpec().node_ids() == ("node/simulated", "node/simulated-1")


def command(*arguments: str) -> int:
    return main(["simulate", *arguments])


def test_the_command_writes_a_case_with_the_fault_that_was_asked_for(tmp_path, capsys):
    where = str(tmp_path / "case")
    assert command(where, "--fault", "F06", "--seed", "3", "--set", "delay_ms=500") == 0
    assert f"case: {where}" in capsys.readouterr().out.replace("\n", "")
    truth = Case.load(where).truth
    assert (truth.fault, truth.record["parameters"]["delay_ms"]) == ("F06", 500.0)


def test_the_command_lists_the_faults(capsys):
    assert command("--list") == 0
    said = capsys.readouterr().out
    assert all(fault in said for fault in faults())


def test_the_command_says_what_it_needs(tmp_path, capsys):
    assert command() == 1
    assert "name a directory" in capsys.readouterr().err
    assert command(str(tmp_path / "case"), "--set", "delay") == 1
    assert "NAME=VALUE" in capsys.readouterr().err


def test_the_documentation_has_the_table_of_the_code():
    page = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
    assert as_markdown() in page, "write rca_engine.simulator.catalogue.as_markdown() into it"
