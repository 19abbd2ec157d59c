# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, and one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rca_engine import methods
from rca_engine.cli import main
from rca_engine.commands.methods import as_markdown

ROOT = Path(__file__).resolve().parents[3]


def test_simulate_diagnose_report(tmp_path, capsys):
    case = tmp_path / "run-01"
    assert main(["simulate", str(case), "--seed", "2"]) == 0
    assert main(["diagnose", str(case), "--method", "all", "--save"]) == 0
    printed = capsys.readouterr().out
    assert "note: Synthetic" in printed
    assert "replica/llm-0 (truth)" in printed
    assert "told: the time of the client's first SLO breach" in printed
    assert main(["report", str(case)]) == 0
    assert (case / "report.html").is_file()
    written = {path.stem for path in (case / "diagnosis").iterdir()}
    assert written == set(methods.available())


def test_json_is_json(case, capsys):
    assert main(["methods", "--json"]) == 0
    listed = [each["name"] for each in json.loads(capsys.readouterr().out)]
    assert listed == sorted(methods.available())
    assert main(["diagnose", str(case.path), "--method", "baro", "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document["components"][0]["component"] == "replica/llm-0"


def test_a_csv_file_can_be_diagnosed(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    rows = [f"{1700000000 + s},{s % 3},{50 * (s >= 80) + s % 2}" for s in range(130)]
    path.write_text("\n".join(["time,web:cpu,db:queue_depth", *rows]), encoding="utf-8")
    assert main(["diagnose", str(path), "--method", "baro"]) == 0
    printed = capsys.readouterr().out
    assert "1     service/db" in printed
    assert "told: no time" in printed
    alert = ["--alert-time", "2023-11-14T22:14:40Z", "--alert", "service/web:cpu"]
    assert main(["diagnose", str(path), "--method", "baro", *alert, "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document["time"] == "2023-11-14T22:14:40.000000000Z"
    assert document["components"][0]["component"] == "service/db"


def test_options_reach_the_method(case, capsys):
    arguments = ["diagnose", str(case.path), "--method", "baro", "--json"]
    assert main([*arguments, "--option", "guard_s=3", "--option", "baro.directed=true"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document["options"] == {"guard_s": 3, "directed": True}


def test_evaluate_prints_the_time_source_and_writes_its_page(case_dir, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", str(case_dir.parent), "--out", str(out), "--methods", "baro,nsigma"]
    assert main([*arguments, "--workers", "1", "--late", "0,10", "--no-specificity"]) == 0
    printed = capsys.readouterr().out
    assert "told: alert" in printed
    assert "best constant guess" in printed
    assert printed.count("baro") == 2
    assert (out / "leaderboard.html").is_file()
    assert {path.suffix for path in out.iterdir() if path.is_file()} == {
        ".csv",
        ".html",
        ".json",
        ".parquet",
    }


def test_convert_goes_there_and_back(case_dir, tmp_path, capsys):
    foreign, own = tmp_path / "rcaeval", tmp_path / "own"
    assert main(["convert", str(case_dir.parent), str(foreign), "--to", "rcaeval"]) == 0
    assert main(["convert", str(foreign), str(own), "--format", "rcaeval"]) == 0
    assert "1 cases written, 0 failed" in capsys.readouterr().out
    assert len(list(own.glob("**/case.json"))) == 1


def test_convert_tells_what_it_could_not_write_and_goes_on(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("time,x_cpu\n1,1\n2,2\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("time,x_cpu\n", encoding="utf-8")
    assert main(["convert", str(tmp_path), str(tmp_path / "out"), "--format", "csv"]) == 1
    said = capsys.readouterr()
    assert "b.csv: has no rows" in said.err
    assert "1 cases written, 1 failed" in said.out


@pytest.mark.parametrize(
    "command", [[], *([name] for name in ("methods", "diagnose", "evaluate", "convert"))]
)
def test_help_teaches_by_examples(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert "examples:\n  rca-engine " in capsys.readouterr().out


def test_a_light_import_offers_the_verbs():
    script = (
        "import sys, rca_engine; assert 'pandas' not in sys.modules;"
        "from rca_engine import diagnose, Case, evaluate; assert callable(diagnose);"
        "assert not {'plotly', 'ray', 'sklearn', 'scipy.stats'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diagnose", "{tmp}"], "no case here"),
        (["diagnose", "{tmp}/other"], "is empty"),
        (["diagnose", "{case}", "--alert-time", "noon"], "--alert-time: "),
        (["diagnose", "{case}", "--alert", "a:b"], "say when, too"),
        (["diagnose", "{case}", "--option", "guard_s=1"], "give METHOD.OPTION=VALUE"),
        (["diagnose", "{case}", "--method", "baro", "--option", "x=1"], "has no option x"),
        (["evaluate", "{tmp}/none", "--out", "{tmp}/out"], "no such data set"),
        (["evaluate", "{tmp}", "--out", "{tmp}/out"], "no case here or below it"),
        (["evaluate", "{tmp}", "--out", "{tmp}/out", "--format", "x"], "there are case, csv"),
        (["convert", "{tmp}", "{tmp}/out"], "no case here or below it"),
        (["diagnose", "{case}", "--method", "baros"], "no method 'baros'; there are baro"),
        (["report", "{tmp}"], "no case here"),
        (["simulate", "{case}/case.json"], "is a file"),
        (["simulate", "{tmp}"], "is not empty"),
        (
            ["harvest", "{tmp}", "--prometheus", "http://127.0.0.1:1", "--pods", "{tmp}/pods.json"],
            "pods.json: no such file",
        ),
        (
            ["harvest", "{tmp}", "--prometheus", "u", "--pods", "p", "--start", "2026-01-01"],
            "both ends of the window",
        ),
        (
            ["harvest", "{tmp}", "--prometheus", "u", "--pods", "p", "--log", "/var/log"],
            "COMPONENT:STREAM:PATH",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_status_1(case, tmp_path, capsys, arguments, message):
    (tmp_path / "other").touch()
    arguments = [each.format(tmp=tmp_path, case=case.path) for each in arguments]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_wrong_usage_is_status_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["diagnose"])
    assert "usage: rca-engine diagnose" in capsys.readouterr().err


def test_without_a_choice_the_quick_methods_answer(case, capsys):
    assert main(["diagnose", str(case.path), "--json"]) == 0
    asked = [each["method"] for each in json.loads(capsys.readouterr().out)]
    assert asked == list(methods.DEFAULT)


def test_the_documented_methods_are_those_there_are():
    page = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    written = page.partition("<!-- methods -->\n")[2]
    assert written == as_markdown(), "write `rca-engine methods --markdown` into it"
