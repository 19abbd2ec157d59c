# SPDX-License-Identifier: Apache-2.0
"""Run one method on one case, and keep its answer with the reasons for it."""

from __future__ import annotations

import functools
import itertools
import logging
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from rca_engine import methods, schemas
from rca_engine.case import Case, CaseView
from rca_engine.errors import MethodError, RcaEngineError
from rca_engine.exclusions import rule_out
from rca_engine.explanation import (
    component_json,
    evidence_json,
    metric_sentence,
    ruled_out_json,
    ruled_out_lines,
    signal_sentence,
)
from rca_engine.methods import Method
from rca_engine.model import Alert, GroundTruth, Status, TimeSource
from rca_engine.ranking import Candidate, Context, Evidence, Ranking, RuledOut
from rca_engine.untrusted import one_line
from rcalab_common.files import write_json
from rcalab_common.times import format_utc

_log = logging.getLogger(__name__)

_TOLD = {
    "alert": "the time of the client's first SLO breach",
    "none": "no time",
    "oracle": "the fault's true time, for comparison only",
}
_EVIDENCE = ("before", "after", "direction", "unit", "first_deviation", "p_value")


@dataclass(frozen=True)
class Diagnosis:
    """A method's answer.

    ``time_ns`` is when it took the incident to have begun: told by ``time_source``, or found by
    itself (``none``). A failed diagnosis has a reason and no ranking; one that is ``ok`` and has an
    empty ranking says "no fault found".
    """

    method: str
    time_source: TimeSource
    time_ns: int | None
    status: Status
    reason: str | None
    seconds: float
    seed: int
    options: Mapping[str, Any]
    candidates: Ranking
    ruled_out: tuple[RuledOut, ...] = ()
    """What is not the cause: by the method's own account, then by how far each metric moved."""

    @functools.cached_property
    def ranking(self) -> tuple[str, ...]:
        """Component ids, most suspect first."""
        return tuple(each.component for each in self.candidates.components())

    @property
    def evidence(self) -> tuple[tuple[Candidate, Evidence], ...]:
        """The metrics behind the ranking, most suspect first, each with its evidence."""
        return self.candidates.metrics()

    @property
    def found_nothing(self) -> bool:
        """Whether the method's answer is that there is no fault."""
        return self.status != "failed" and not self.ranking

    def rank_of(self, truth: GroundTruth) -> int | None:
        """Return the best rank, from 1, of a true component; None if none is ranked."""
        ranks = [rank for rank, each in enumerate(self.ranking, 1) if each in truth.root_causes]
        return min(ranks, default=None)

    def to_frame(self, level: Literal["component", "metric"] = "component") -> pd.DataFrame:
        """Return the ranking as a table, most suspect first."""
        document = self.to_json()
        if level == "component":
            return pd.DataFrame(document["components"], columns=["rank", "component", "score"])
        rows = [{**entry, **entry.pop("evidence")} for entry in document["metrics"]]
        columns = ["rank", "component", "metric", "score", *_EVIDENCE]
        return pd.DataFrame(rows, columns=columns)

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``diagnosis/<method>.json``."""
        document = {
            "format": 1,
            "method": self.method,
            "time_source": self.time_source,
            "time": None if self.time_ns is None else format_utc(self.time_ns),
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 6),
            "seed": self.seed,
            "options": dict(self.options),
            "components": [
                component_json(rank, each)
                for rank, each in enumerate(self.candidates.components(), start=1)
            ],
            "metrics": [
                {
                    "rank": rank,
                    "component": each.component,
                    "metric": each.metric,
                    "score": each.score,
                    "evidence": evidence_json(evidence),
                }
                for rank, (each, evidence) in enumerate(self.evidence, start=1)
            ],
        }
        if self.ruled_out:
            document["ruled_out"] = [ruled_out_json(each) for each in self.ruled_out]
        return document

    def explain(self, top: int = 3) -> str:
        """Say in words who is suspect and why."""
        if self.status == "failed":
            return f"{self.method} failed: {self.reason}"
        if self.found_nothing:
            reason = f" ({self.reason})" if self.reason else ""
            return "\n".join(
                [f"{self.method}: no fault found{reason}", *ruled_out_lines(self.ruled_out)]
            )
        lines = [f"{self.method} ranked {len(self.ranking)} components:"]
        for rank, each in enumerate(self.candidates.components()[:top], start=1):
            lines.append(f"{rank}. {one_line(each.component)}")
            mine = [pair for pair in self.evidence if pair[0].component == each.component]
            lines += [f"   {metric_sentence(*pair)}" for pair in mine[:top]]
            lines += [f"   {signal_sentence(signal)}" for signal in each.signals[:top]]
            if each.path:
                lines.append(f"   reaches the alert by {one_line(' → '.join(each.path))}")
        return "\n".join([*lines, *ruled_out_lines(self.ruled_out)])

    def write(self, case_dir: Path | str) -> Path:
        """Write ``<case_dir>/diagnosis/<method>.json``, whole or not at all."""
        path = Path(case_dir) / "diagnosis" / f"{self.method}.json"
        document = self.to_json()
        schemas.validate(document, "diagnosis", path)
        write_json(path, document)
        return path


def diagnose(
    case: Case | Path | str,
    method: str = "baro",
    alert: Alert | None = None,
    time: TimeSource = "alert",
    seed: int = 0,
    budget_s: float | None = None,
    options: Mapping[str, Any] | None = None,
    explain: bool = True,
) -> Diagnosis:
    """Ask one method what broke.

    Parameters
    ----------
    case
        A case, or its directory.
    method
        Name of a method (``rca-engine methods`` lists them).
    alert
        What alerted and when; the case's own alert if None.
    time
        What the method is told: the time of the ``alert``, ``none``, or, only to compare with
        published tables, the true time of the fault (``oracle``).
    seed
        All randomness of the method follows from it.
    budget_s
        Seconds that the method may take; an answer that took longer is ``degraded``.
    options
        The method's own options.
    explain
        Whether to say what can be ruled out too. It takes one more look at all metrics, whose time
        is not the method's; an evaluation over many cases can do without.

    Raises
    ------
    CaseError
        If the case can't be read.
    MethodError
        If there is no such method, option or time source, or ``oracle`` is asked of a case without
        truth.
    """
    case = case if isinstance(case, Case) else Case.load(case)
    chosen, options = methods.get(method), dict(options or {})
    chosen.check(options)
    alert = alert or case.alert
    context = Context(
        time_ns=_told(case, alert, time),
        # An alert may tell when and not what.
        alert_component=(alert.component or None) if alert else None,
        alert_metric=(alert.metric or None) if alert else None,
        seed=seed,
        budget_s=budget_s,
    )
    began = clock.perf_counter()
    view = case.view(chosen.sources)
    if time == "alert" and alert is None:
        ranking, status, reason = _nothing_alerted()
    else:
        ranking, status, reason = _run(chosen, view, context, options)
    seconds = clock.perf_counter() - began
    if budget_s is not None and seconds > budget_s and status == "ok":
        status, reason = "degraded", f"took {seconds:.2f} s of {budget_s:g} s allowed"
    ruled_out = ranking.ruled_out
    if explain and status != "failed" and not (time == "alert" and alert is None):
        seen = view if "metrics" in view.tables else case.view({"metrics"})
        ruled_out += rule_out(seen, context, ranking)
    return Diagnosis(
        method=method,
        time_source=time,
        time_ns=ranking.time_ns if time == "none" else context.time_ns,
        status=status,
        reason=reason,
        seconds=seconds,
        seed=seed,
        options=options,
        candidates=ranking,
        ruled_out=ruled_out,
    )


def ranking_lines(case: Case, diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Lay the rankings side by side as lines of text, the true components marked, then the truth.

    Parameters
    ----------
    case
        The case that they are of.
    diagnoses
        One a method, all told the same time.
    """
    causes = set(case.truth.root_causes) if case.truth else set()
    columns = [
        ["rank", *map(str, range(1, 1 + max((len(d.ranking) for d in diagnoses), default=0)))]
    ]
    for each in diagnoses:
        suspects = [
            one_line(name) + (" (truth)" if name in causes else "") for name in each.ranking
        ]
        columns.append([each.method, *suspects])
    widths = [max(map(len, column)) for column in columns]
    rows = itertools.zip_longest(*columns, fillvalue="")
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"{each.method}: {each.reason}" for each in diagnoses if each.reason]
    lines += [f"{each.method}: no fault found" for each in diagnoses if each.found_nothing]
    lines += [
        f"told: {_TOLD[source]}" for source in sorted({each.time_source for each in diagnoses})
    ]
    if case.truth is not None:
        lines.append(
            f"truth: {', '.join(sorted(causes)) or 'no root cause'} ({case.truth.fault} "
            f"{case.truth.name}{', sham' if case.truth.sham else ''}, {case.truth.outcome})"
        )
    return lines


def _told(case: Case, alert: Alert | None, time: TimeSource) -> int | None:
    if time not in get_args(TimeSource):
        raise MethodError(f"time is one of {', '.join(get_args(TimeSource))}, not {time!r}")
    if time == "none" or (time == "alert" and alert is None):
        return None
    if time == "alert" and alert is not None:
        return alert.time_ns
    fault = case.truth.fault_window if case.truth else None
    if fault is None:
        raise MethodError(
            f"{case.path}: no fault with a verified effect, so there is no true time to tell; "
            f"use the alert's time or none"
        )
    return fault[0]


def _nothing_alerted() -> tuple[Ranking, Status, str | None]:
    return Ranking(()), "ok", "the client's SLO was never broken"


def _run(
    method: Method, view: CaseView, context: Context, options: Mapping[str, Any]
) -> tuple[Ranking, Status, str | None]:
    try:
        ranking = method.rank(view, context, **options)
    except RcaEngineError as error:
        return Ranking(()), "failed", str(error)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # A method that meets data it was not made for must not take the others down with it.
        _log.warning("%s failed", method.name, exc_info=True)
        return Ranking(()), "failed", f"{type(error).__name__}: {error}"
    return ranking, "degraded" if ranking.degraded else "ok", ranking.degraded
