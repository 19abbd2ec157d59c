# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, and one line for what is wrong."""

from __future__ import annotations

import json

import pytest

from rca_engine.cli import main


def test_simulate_diagnose_report(tmp_path, capsys):
    case = tmp_path / "run-01"
    assert main(["simulate", str(case), "--seed", "2"]) == 0
    assert main(["diagnose", str(case), "--save"]) == 0
    printed = capsys.readouterr().out
    assert "note: Synthetic" in printed
    assert "replica/llm-0 (truth)  replica/llm-0 (truth)" in printed
    assert main(["report", str(case)]) == 0
    assert (case / "report.html").is_file()
    saved = {path.name for path in (case / "diagnosis").iterdir()}
    assert {"baro.json", "nsigma.json"} <= saved


def test_json_is_json(case, capsys):
    assert main(["methods", "--json"]) == 0
    assert {"baro", "nsigma"} <= {each["name"] for each in json.loads(capsys.readouterr().out)}
    assert main(["diagnose", str(case.path), "--method", "baro", "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document["components"][0]["component"] == "replica/llm-0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diagnose", "{tmp}"], "no case here"),
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
