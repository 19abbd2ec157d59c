# SPDX-License-Identifier: Apache-2.0
"""A case is whole or not there, and methods do not see its truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rca_engine import schemas
from rca_engine.case import Case, CaseWriter, metric_table
from rca_engine.errors import CaseError
from rca_engine.schemas.tables import TABLES
from rca_engine.simulator import simulate
from rcalab_common.files import sha256


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): sha256(p) for p in root.rglob("*") if p.is_file()}


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_case_comes_back_as_it_was_written(case):
    info = case.info
    assert info.engine == "simulated"
    assert info.alert.component == "client/loadgen"
    assert case.truth.root_causes.keys() == {"replica/llm-0"}
    assert ("replica/llm-0", "cpu_throttled_periods_rate") in case.matrix().columns
    assert str(case.table("metrics")["timestamp"].dtype) == "datetime64[ns, UTC]"
    assert {"queue", "prefill", "decode"} < set(case.table("traces")["name"])
    edges = {(edge.source, edge.target, edge.type) for edge in case.topology.edges}
    assert ("head/ray", "replica/llm-1", "calls") in edges
    assert ("replica/llm-1", "node/simulated", "runs_on") in edges


def test_the_manifest_holds_every_files_hash(case):
    files = case.manifest["files"]
    assert files["ground_truth.json"] == sha256(case.path / "ground_truth.json")
    assert files.keys() >= {"case.json", "metrics.parquet", "samples.parquet", "topology.json"}
    assert all(sha256(case.path / name) == digest for name, digest in files.items())


def test_the_same_seed_gives_the_same_case(tmp_path):
    one, two = (contents(simulate(tmp_path / name, seed=3)) for name in ("one", "two"))
    assert one == two != contents(simulate(tmp_path / "other", seed=4))


def test_a_view_has_neither_truth_nor_path_nor_a_name_that_tells(case):
    view = case.view({"metrics"})
    seen = repr(vars(view)) + repr(view.tables["metrics"].to_dict())
    assert "cpu_starvation" not in seen
    assert str(case.path) not in seen
    assert not hasattr(view, "truth")
    with pytest.raises(CaseError, match="source 'logs' is not among"):
        view.table("logs")


def test_what_a_method_does_to_its_view_stays_there(case):
    metrics = case.view({"metrics"}).table("metrics")
    metrics.loc[:, "value"] = 0.0
    assert case.table("metrics")["value"].abs().sum() > 0


def test_a_harvest_that_fails_in_the_middle_leaves_everything_as_it_was(case_dir):
    before = contents(case_dir)

    def harvest() -> None:
        with CaseWriter(case_dir) as writer:
            writer.write_table("logs", {name: [] for name in TABLES["logs"].names})
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        harvest()
    assert contents(case_dir) == before


def test_a_kill_while_files_move_leaves_no_case_rather_than_a_mixed_one(case_dir, monkeypatch):
    moved = []

    def replace(self: Path, target: Path) -> None:
        moved.append(target)
        if len(moved) == 3:
            raise KeyboardInterrupt
        original(self, target)

    original = Path.replace
    case = Case.load(case_dir)

    def harvest() -> None:
        with CaseWriter(case_dir) as writer:
            for name in ("logs", "metrics", "requests"):
                writer.write_table(name, case.table(name))
            vocabulary = schemas.load("metrics")
            writer.write(case.info, case.topology, vocabulary, {"sources": {}, "completeness": []})
            monkeypatch.setattr(Path, "replace", replace)

    with pytest.raises(KeyboardInterrupt):
        harvest()
    with pytest.raises(CaseError, match="no case here"):
        Case.load(case_dir)
    assert not list(case_dir.glob(".case.*"))


def test_a_table_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(CaseError, match="table logs: columns"), CaseWriter(tmp_path) as writer:
        writer.write_table("logs", {"timestamp": []})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("case.json", lambda d: d.update(format=2), "format 2, this version reads format 1"),
        ("case.json", lambda d: d.pop("window"), "'window' is a required property"),
        ("case.json", lambda d: d["alert"].update(time="soon"), r"\$.alert"),
        ("topology.json", lambda d: d["edges"][0].update(type="likes"), r"\$.edges\[0\].type"),
        ("ground_truth.json", lambda d: d.pop("times"), "not a ground truth of format 1"),
        ("ground_truth.json", lambda d: d.update(format=9), "format 9"),
    ],
)
def test_a_broken_part_is_named(case_dir, name, change, message):
    edit(case_dir / name, change)
    with pytest.raises(CaseError, match=message) as caught:
        Case.load(case_dir)
    assert str(case_dir) in str(caught.value)


def test_half_a_json_file_and_no_parquet_file_are_told(case_dir):
    (case_dir / "metrics.parquet").write_text("not parquet")
    with pytest.raises(CaseError, match=r"metrics.parquet: not a metrics table"):
        Case.load(case_dir).table("metrics")
    (case_dir / "topology.json").write_text('{"format": 1')
    with pytest.raises(CaseError, match=r"topology.json: not readable as JSON"):
        Case.load(case_dir)


def test_an_empty_folder_is_no_case(tmp_path):
    with pytest.raises(CaseError, match="no case here"):
        Case.load(tmp_path)


def test_the_vocabulary_is_sound():
    vocabulary = schemas.load("metrics")
    schemas.validate(vocabulary, "metrics", "metrics.json")
    table = metric_table(vocabulary)
    assert all(each.resolution for each in table.values())
    assert table["engine_itl_mean_s"].resolution == 0.001
    assert {each.unit for each in table.values()} <= vocabulary["units"].keys()
