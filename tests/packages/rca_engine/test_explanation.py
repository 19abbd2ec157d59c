# SPDX-License-Identifier: Apache-2.0
"""What a diagnosis says of its reasons, whatever the lab's programs wrote into them."""

from __future__ import annotations

import json

import pytest

from rca_engine import schemas
from rca_engine.diagnosis import Diagnosis
from rca_engine.ranking import Candidate, Evidence, LogEvidence, Ranking, SpanEvidence
from rca_engine.untrusted import SHOWN, one_line

HOSTILE = "\x1b]0;owned\x07\x1b[2Jred\r\nfake: 1. replica/good\u202egnp.exe " + "x" * 5000
LOG = LogEvidence("worker <*> died", before=0.0, after=2.5, sample="worker 17 died")
SPAN = SpanEvidence("decode", before_ms=200.0, after_ms=900.0, count_before=80, count=30, errors=4)


def diagnosis(*candidates: Candidate) -> Diagnosis:
    return Diagnosis("m", "none", None, "ok", None, 0.0, 0, {}, Ranking(candidates))


def test_logs_and_spans_are_reasons_for_a_component_without_a_metric():
    answer = diagnosis(Candidate("replica/a", 3.0, signals=(LOG, SPAN), path=("replica/a", "b/c")))
    document = answer.to_json()
    schemas.validate(document, "diagnosis", "m.json")
    assert document["metrics"] == []
    [component] = document["components"]
    assert [each["kind"] for each in component["signals"]] == ["log", "span"]
    said = answer.explain()
    assert "log “worker <*> died” went from 0 to 2.5 1/s, such as: worker 17 died" in said
    assert "span “decode” took 900 ms, before 200 ms (30 spans after 80 before, 4 failed)" in said
    assert "reaches the alert by replica/a → b/c" in said


def test_a_component_has_the_signals_of_all_its_candidates_once():
    evidence = Evidence(0.0, 1.0, "up", "1", None, p_value=0.001)
    answer = diagnosis(
        Candidate("replica/a", 3.0, "errors", evidence, signals=(LOG,)),
        Candidate("replica/a", 2.0, "up", evidence, signals=(LOG, SPAN)),
    )
    [component] = answer.candidates.components()
    assert component.signals == (LOG, SPAN)
    assert "p = 0.001" in answer.explain()
    assert answer.to_json()["metrics"][0]["evidence"]["p_value"] == 0.001


def test_an_operation_that_came_or_went_has_no_duration():
    new = SpanEvidence("retry", before_ms=None, after_ms=5.0)
    assert (
        "took 5 ms, before was not there"
        in diagnosis(Candidate("a/b", 1.0, signals=(new,))).explain()
    )


@pytest.mark.parametrize("where", ["template", "sample", "operation", "component"])
def test_hostile_text_stays_on_its_line_and_is_bounded(where):
    signals = {
        "template": (LogEvidence(HOSTILE, 0.0, 1.0),),
        "sample": (LogEvidence("t", 0.0, 1.0, sample=HOSTILE),),
        "operation": (SpanEvidence(HOSTILE, 1.0, 2.0),),
        "component": (),
    }[where]
    component = HOSTILE if where == "component" else "a/b"
    answer = diagnosis(Candidate(component, 1.0, signals=signals))
    said = answer.explain()
    assert all(character.isprintable() for character in said.replace("\n", ""))
    assert len(said.splitlines()) == 2 + len(signals)
    assert max(map(len, said.splitlines())) < SHOWN + 100
    kept = json.dumps(answer.to_json()["components"][0].get("signals", []), ensure_ascii=False)
    assert "\\u001b" not in kept
    assert "\u202e" not in kept


def test_a_line_is_cut_where_it_is_too_long_and_else_whole():
    assert one_line("  a \t b\n") == "a b"
    assert one_line("x" * SHOWN) == "x" * SHOWN
    assert one_line("x" * (SHOWN + 1)) == "x" * (SHOWN - 1) + "…"
    assert len(one_line(" " * 10_000 + "x")) < SHOWN
