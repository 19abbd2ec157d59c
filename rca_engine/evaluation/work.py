# SPDX-License-Identifier: Apache-2.0
"""What a worker does: read a case, ask each method, score each answer.

A worker gives back documents (see :func:`_run`) and, where it can reach the driver's folder, keeps
each at once, so that little is lost when all is killed.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence, Set
from dataclasses import replace
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no types

from rca_engine import methods
from rca_engine.case import Case
from rca_engine.diagnosis import Diagnosis, diagnose
from rca_engine.errors import RcaEngineError
from rca_engine.evaluation.plan import Run, Task
from rca_engine.evaluation.scores import NOTHING, Hits, hits, ties, to_json
from rca_engine.evaluation.store import Document, Store
from rca_engine.evaluation.usage import Usage, measured
from rca_engine.model import NS, Alert, GroundTruth, Window

_log = logging.getLogger(__name__)

_TIME_COLUMNS = {
    "metrics": "timestamp",
    "logs": "timestamp",
    "events": "timestamp",
    "samples": "timestamp",
    "traces": "start",
    "requests": "scheduled_ns",
}
_TOP = 5
_CALM_TOLD = 2 / 3
"""Where in the normal part a method is told that something happened, which it did not."""
_NOBODY_SAYS_WHAT = Alert(0, "", "", 0.0, 0.0)


def work(task: Task, store: Store | None = None) -> list[tuple[str, Document]]:
    """Do a task and return key and document of each result, the case's facts first.

    No case and no method can end the evaluation: what goes wrong is a result.
    """
    done: list[tuple[str, Document]] = []

    def keep(key: str, document: Document) -> None:
        done.append((key, document))
        if store is not None:
            store.write(key, document)

    # One thread each: workers are as many as the cores, and sums must not depend on their number.
    with threadpool_limits(1):
        try:
            case = task.entry.load()
            keep(task.facts_key, facts(task.entry.case_id, case))
        except Exception as error:
            # A reader that fails costs its case and no more, whatever it fails with.
            _log.warning("%s can't be read", task.entry.case_id, exc_info=True)
            reason = _said(error)
            keep(task.facts_key, {"case": task.entry.case_id, "left_out": None, "broken": reason})
            for run in task.runs:
                keep(run.key, _document(task, run, "failed", f"the case can't be read: {reason}"))
            return done
        if done[0][1]["left_out"] is None:
            sources = {name for run in task.runs for name in methods.get(run.method).sources}
            case = replace(case, loaded={name: case.table(name) for name in sorted(sources)})
            for run in task.runs:
                keep(run.key, _run(task, case, run))
    return done


def facts(case_id: str, case: Case) -> Document:
    """Return what scores need to know of a case apart from any method."""
    truth = case.truth
    metrics = case.table("metrics")
    pairs = sorted(set(zip(metrics["component"], metrics["metric"], strict=True)))
    components = {each.id for each in case.topology.components}
    components |= {component for component, _ in pairs}
    return {
        "case": case_id,
        "left_out": left_out(truth),
        "broken": None,
        "components": sorted(components | set(truth.root_causes if truth else ())),
        "truth": sorted(truth.root_causes) if truth else [],
        "pairs": [list(pair) for pair in pairs],
        "truth_pairs": [list(pair) for pair in sorted(_true_pairs(truth))] if truth else [],
    }


def left_out(truth: GroundTruth | None) -> str | None:
    """Say why a case can't be scored; None if it can."""
    if truth is None:
        return "nobody knows its truth"
    if not truth.sham and truth.outcome != "effective":
        return f"its fault was {truth.outcome.replace('_', ' ')}"
    if not truth.sham and not truth.root_causes:
        return "its truth names no component"
    return None


def normal_part(case: Case) -> Case:
    """Return the case as if it had ended before its fault: nothing is there to be found.

    Raises
    ------
    RcaEngineError
        If it is not known when the fault began, or nothing was recorded before.
    """
    truth = case.truth
    if truth is not None and truth.sham:
        return case
    known = [time for time in (truth.times.values() if truth else ()) if time is not None]
    known += [case.alert.time_ns] if case.alert else []
    if not known:
        raise RcaEngineError("nobody knows when its fault began, so no part is known as normal")
    # A step's value tells of the time up to it: the last before the fault may hold some of it.
    end_ns = min(known) - round(case.info.step_s * NS)
    tables = {
        name: case.table(name) if column is None else _before(case.table(name), column, end_ns)
        for name, column in ((name, _TIME_COLUMNS.get(name)) for name in case.loaded or ())
    }
    info = replace(case.info, window=Window(case.info.window.start_ns, end_ns))
    return replace(case, info=info, loaded=tables)


def _before(table: pd.DataFrame, column: str, end_ns: int) -> pd.DataFrame:
    if pd.api.types.is_integer_dtype(table[column].dtype):
        return table[table[column] < end_ns]
    return table[table[column] < pd.Timestamp(end_ns, tz="UTC")]


def _run(task: Task, case: Case, run: Run) -> Document:
    if run.part == "incident" and case.truth is not None and case.truth.sham:
        return _document(task, run, "skipped", "a sham has no fault to ask about")
    usage = Usage()
    try:
        with measured() as usage:
            diagnosis = _ask(case, run)
    except Exception as error:
        # A method that fails costs its run and no more, whatever it fails with.
        _log.warning("%s on %s", run.method, task.entry.case_id, exc_info=True)
        return _document(task, run, "failed", _said(error), usage)
    document = _document(task, run, diagnosis.status, diagnosis.reason, usage)
    document |= {
        "seconds": round(diagnosis.seconds, 6),
        "found_nothing": diagnosis.found_nothing,
        "top": list(diagnosis.ranking[:_TOP]),
    }
    if run.part == "incident" and case.truth is not None:
        document |= _scored(diagnosis, case.truth)
    return document


def _ask(case: Case, run: Run) -> Diagnosis:
    alert, late_ns = case.alert, round(run.late_s * NS)
    if run.part == "normal":
        case = normal_part(case)
        window = case.info.window
        told_ns = window.start_ns + round(_CALM_TOLD * (window.end_ns - window.start_ns))
        case, alert = _told(case, told_ns, alert)
    elif alert is not None:
        alert = replace(alert, time_ns=alert.time_ns + late_ns)
    if run.time == "oracle" and late_ns and case.truth is not None:
        seen = case.truth.times.get("effect_first_seen")
        if seen is not None:
            case = _with_time(case, seen + late_ns)
    return diagnose(
        case,
        run.method,
        alert=alert,
        time=run.time,
        seed=run.seed,
        budget_s=run.budget_s,
        options=run.options,
    )


def _told(case: Case, told_ns: int, alert: Alert | None) -> tuple[Case, Alert]:
    """Move every time that a method may be told to a moment at which nothing happened."""
    false_alarm = replace(alert or _NOBODY_SAYS_WHAT, time_ns=told_ns)
    return _with_time(case, told_ns), false_alarm


def _with_time(case: Case, time_ns: int) -> Case:
    if case.truth is None:
        return case
    times = {**case.truth.times, "effect_first_seen": time_ns}
    return replace(case, truth=replace(case.truth, times=times))


def _scored(diagnosis: Diagnosis, truth: GroundTruth) -> Document:
    components = diagnosis.candidates.components()
    pairs = [(each.component, str(each.metric)) for each, _ in diagnosis.evidence]
    scores = [each.score for each, _ in diagnosis.evidence]
    true_pairs = _true_pairs(truth)
    by_metric: Hits | None = NOTHING
    if not true_pairs or (components and not pairs):
        # Not known which metric, or the method ranks components only: no answer to score.
        by_metric = None
    elif pairs:
        by_metric = hits(ties(pairs, scores), true_pairs)
    names = [each.component for each in components]
    found = hits(ties(names, [each.score for each in components]), set(truth.root_causes))
    return {
        "rank": diagnosis.rank_of(truth),
        "metric_rank": _first(pairs, true_pairs),
        "component_hits": to_json(found),
        "metric_hits": to_json(by_metric),
    }


def _first(ranked: Sequence[Hashable], truth: Set[Hashable]) -> int | None:
    return next((rank for rank, each in enumerate(ranked, 1) if each in truth), None)


def _true_pairs(truth: GroundTruth) -> set[tuple[str, str]]:
    return {(name, metric) for name, metrics in truth.root_causes.items() for metric in metrics}


def _document(
    task: Task, run: Run, status: str, reason: str | None, usage: Usage | None = None
) -> Document:
    usage = usage or Usage()
    scored: dict[str, Any] = dict.fromkeys(("rank", "metric_rank", "metric_hits"))
    if run.part == "incident":
        scored |= {"component_hits": to_json(NOTHING), "metric_hits": to_json(NOTHING)}
    return {
        "case": task.entry.case_id,
        "system": task.entry.system,
        "fault": task.entry.fault,
        "method": run.method,
        "time_source": run.time,
        "late_s": run.late_s,
        "part": run.part,
        "seed": run.seed,
        "options": dict(run.options),
        "status": status,
        "reason": reason,
        "seconds": None,
        "cpu_seconds": round(usage.cpu_s, 6),
        "memory_mib": usage.memory_mib,
        "found_nothing": False,
        "top": [],
        **scored,
    }


def lost(task: Task, run: Run) -> Document:
    """Return the result of a run that took its worker down."""
    return _document(
        task, run, "failed", "the worker died of it (out of memory, or a crash in native code)"
    )


def _said(error: Exception) -> str:
    known = isinstance(error, RcaEngineError)
    return str(error) if known else f"{type(error).__name__}: {error}"
