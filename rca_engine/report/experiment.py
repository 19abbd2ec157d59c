# SPDX-License-Identifier: Apache-2.0
"""Read the folder of an experiment: its cases beside its plan and its quarantine.

The plan (``plan.json``) and the quarantine are the collection's, written while runs are made
(``docs/contracts.md``). A folder of cases without them is read as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rca_engine import schemas
from rca_engine.case import Case
from rca_engine.errors import CaseError
from rca_engine.model import NS
from rca_engine.report.verdict import best_rank
from rca_engine.report.words import fault_name
from rcalab_common.words import listed

_QUARANTINE = "quarantine"

Kind = Literal["fault", "sham", "plain", "unknown"]
"""What a run is: with a fault, a sham, without a fault, or nobody knows."""


@dataclass(frozen=True)
class Answer:
    """What one method said of a run; ``rank`` is the best that a true component got."""

    status: str
    told: str
    first: str | None
    rank: int | None

    @property
    def found_nothing(self) -> bool:
        """Whether it said that there is no fault."""
        return self.status != "failed" and self.first is None


@dataclass(frozen=True)
class Measured:
    """A run that has its case."""

    id: str
    kind: Kind
    case: Case
    alert_after_s: float | None
    """From the fault, or from the start of a run without one; None where nothing alerted."""
    answers: Mapping[str, Answer]

    @property
    def truth(self) -> str:
        """What was done, in words."""
        truth = self.case.truth
        if truth is None:
            return "no fault" if self.kind == "plain" else "unknown"
        target = truth.record.get("target", {}).get("component", "no target")
        where = listed(sorted(truth.root_causes)) if truth.root_causes else target
        return f"{fault_name(truth.name)} of {where}"


@dataclass(frozen=True)
class SetAside:
    """An attempt that does not count."""

    run: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Experiment:
    """An experiment as its folder tells it.

    Parameters
    ----------
    name
        The folder's.
    plan
        ``plan.json``; None where there is none.
    measured
        The runs with a case, in the order of the plan.
    missing
        Ids of planned runs without a case.
    set_aside
        The quarantine.
    """

    name: str
    plan: Mapping[str, Any] | None
    measured: tuple[Measured, ...]
    missing: tuple[str, ...]
    set_aside: tuple[SetAside, ...]

    @property
    def methods(self) -> list[str]:
        """Every method that has answered in a run, by name."""
        return sorted({name for run in self.measured for name in run.answers})

    def of_kind(self, *kinds: Kind) -> list[Measured]:
        """Return the measured runs of some kinds, in order."""
        return [run for run in self.measured if run.kind in kinds]


def read_experiment(folder: Path | str) -> Experiment:
    """Read the folder of an experiment.

    Raises
    ------
    CaseError
        If it holds neither a plan nor a case, or a part of it is broken.
    """
    root = Path(folder)
    plan = schemas.read_json(root / "plan.json") if (root / "plan.json").exists() else None
    there = {
        path.parent.relative_to(root).as_posix(): path.parent
        for path in sorted(root.glob("**/case.json"))
        if _QUARANTINE not in path.relative_to(root).parts
    }
    if plan is None and not there:
        raise CaseError(f"{root}: no experiment here (no plan.json, and no case.json below it)")
    planned = _planned(root, plan)
    order = [*planned, *(each for each in there if each not in planned)]
    return Experiment(
        name=root.resolve().name,
        plan=plan,
        measured=tuple(
            _measured(each, there[each], planned.get(each)) for each in order if each in there
        ),
        missing=tuple(each for each in planned if each not in there),
        set_aside=tuple(_set_aside(root)),
    )


def _planned(root: Path, plan: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    try:
        return {run["id"]: run for run in plan["runs"]} if plan else {}
    except (KeyError, TypeError) as error:
        raise CaseError(f"{root / 'plan.json'}: not a plan of format 1: {error}") from None


def _measured(run_id: str, folder: Path, planned: Mapping[str, Any] | None) -> Measured:
    case = Case.load(folder)
    truth = case.truth
    kind: Kind = "unknown"
    if truth is not None:
        kind = "sham" if truth.sham else "fault"
    elif planned is not None and planned["fault"] is None:
        kind = "plain"
    began = case.info.window.start_ns
    if kind == "fault" and truth is not None:
        began = truth.times.get("applied") or began
    return Measured(
        id=run_id,
        kind=kind,
        case=case,
        alert_after_s=(case.alert.time_ns - began) / NS if case.alert else None,
        answers={name: _answer(each, case) for name, each in case.diagnoses().items()},
    )


def _answer(diagnosis: Mapping[str, Any], case: Case) -> Answer:
    components = diagnosis["components"]
    truth = case.truth
    return Answer(
        status=diagnosis["status"],
        told=diagnosis["time_source"],
        first=components[0]["component"] if components else None,
        rank=best_rank(diagnosis, truth) if truth is not None and truth.root_causes else None,
    )


def _set_aside(root: Path) -> Iterator[SetAside]:
    for path in sorted((root / _QUARANTINE).glob("*/*/quarantine.json")):
        told = schemas.read_json(path)
        try:
            yield SetAside(told["run"], told["kind"], told["reason"])
        except KeyError as error:
            raise CaseError(f"{path}: not a note of the quarantine: no {error}") from None
