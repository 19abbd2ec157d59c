# SPDX-License-Identifier: Apache-2.0
"""What a diagnosis rules out, and what it must not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rca_engine import schemas
from rca_engine.case import CaseView
from rca_engine.diagnosis import diagnose
from rca_engine.exclusions import rule_out
from rca_engine.model import NS, Component, Edge, Metric, Topology, Window
from rca_engine.ranking import Candidate, Context, Evidence, LogEvidence, Ranking, RuledOut

ALERT = Context(time_ns=60 * NS, alert_component="client/a", alert_metric="latency")
SUSPECT = Ranking((Candidate("replica/a", 9.0),))


def view(*, steps: int = 120, step_s: float = 1.0, burst: int = 30) -> CaseView:
    """Two replicas on one node, one of which errs from the 60th step on; the node is calm."""
    rng = np.random.default_rng(0)
    noise = rng.normal(10.0, 1.0, (steps, 5))
    noise[60 : 60 + burst, 0] += 50
    noise[60:90, 4] += 50
    names = (
        ("replica/a", "queue"),
        ("replica/b", "queue"),
        ("node/n", "load"),
        ("node/n", "memory"),
        ("client/a", "latency"),
    )
    stamps = pd.to_datetime(np.arange(steps) * round(step_s * NS), utc=True)
    rows = [
        pd.DataFrame({"timestamp": stamps, "component": c, "metric": m, "value": noise[:, at]})
        for at, (c, m) in enumerate(names)
    ]
    components = tuple(Component(*each.split("/")) for each in dict(names))
    edges = tuple(Edge(f"replica/{each}", "node/n", "runs_on") for each in "ab")
    table = {m: Metric(m, "gauge", "1") for _, m in names}
    table["latency"] = Metric("latency", "gauge", "s", scope="external")
    window = Window(0, int(steps * step_s * NS))
    return CaseView(
        window, step_s, Topology(components, edges), table, {"metrics": pd.concat(rows)}
    )


def by_kind(found: tuple[RuledOut, ...]) -> dict[str, list[str | None]]:
    kinds: dict[str, list[str | None]] = {}
    for each in found:
        kinds.setdefault(each.kind, []).append(each.component)
    return kinds


def test_the_calm_node_the_calm_peer_and_the_symptom_are_ruled_out_and_the_suspect_is_not():
    found = rule_out(view(), ALERT, SUSPECT)
    assert by_kind(found) == {
        "shared_cause": ["node/n"],
        "symptom": ["client/a"],
        "quiet": [None],
        "within_normal": ["replica/b"],
    }
    assert "node/n, which replica/a shares with others, stayed normal" in found[0].reason
    assert "no deviation beyond 3 in 3 of 4 metrics" in {each.reason for each in found}


def test_a_short_excursion_is_enough_not_to_be_ruled_out():
    found = rule_out(view(burst=5), ALERT, Ranking((Candidate("node/n", 1.0),)))
    assert "replica/a" not in by_kind(found)["within_normal"]


def test_who_is_suspected_for_a_log_is_not_ruled_out_by_calm_metrics():
    log = LogEvidence("died", 0.0, 1.0)
    ranking = Ranking((Candidate("replica/a", 2.0), Candidate("replica/b", 1.0, signals=(log,))))
    assert "within_normal" not in by_kind(rule_out(view(), ALERT, ranking))


def test_a_symptom_that_the_method_ranks_is_not_said_to_be_left_out():
    evidence = Evidence(0.0, 1.0, "up", "s", None)
    ranking = Ranking((Candidate("client/a", 1.0, "latency", evidence),))
    assert "symptom" not in by_kind(rule_out(view(), ALERT, ranking))


def test_coarse_steps_get_a_longer_window():
    context = Context(time_ns=60 * 300 * NS, alert_component="client/a")
    assert by_kind(rule_out(view(step_s=300.0), context, SUSPECT))["shared_cause"] == ["node/n"]


def test_where_nothing_can_be_told_that_is_told():
    [only] = rule_out(view(steps=63), ALERT, SUSPECT)
    assert only.kind == "not_checked"
    assert "nothing could be ruled out: the anomalous window has 3 steps" in only.reason


def test_the_order_of_rows_does_not_matter():
    case = view()
    shuffled = case.table("metrics").sample(frac=1.0, random_state=1)
    other = CaseView(
        case.window, case.step_s, case.topology, case.metric_table, {"metrics": shuffled}
    )
    assert rule_out(case, ALERT, SUSPECT) == rule_out(other, ALERT, SUSPECT)


def test_a_diagnosis_says_it_in_words_and_in_json(case):
    diagnosis = diagnose(case)
    document = diagnosis.to_json()
    schemas.validate(document, "diagnosis", "baro.json")
    assert {"quiet", "within_normal", "symptom"} <= {each["kind"] for each in document["ruled_out"]}
    assert "replica/llm-0" not in {each["component"] for each in document["ruled_out"]}
    said = diagnosis.explain()
    assert "ruled out:" in said
    assert "- stayed within their normal range: " in said
    assert "are the symptom that alerted, and no cause" in said


@pytest.mark.parametrize("time", ["none", "oracle"])
def test_it_is_said_whatever_the_method_was_told_and_left_out_on_request(case, time):
    assert diagnose(case, time=time).ruled_out
    assert diagnose(case, time=time, explain=False).ruled_out == ()
