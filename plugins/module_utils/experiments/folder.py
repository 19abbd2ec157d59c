# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment's folder: what of its plan is done, and what was set apart.

    plan.json                           the plan; it may grow at its end and never changes
    SCENARIO/run-NN/                    a run; done where it holds a complete case
    SCENARIO/run-NN/run.json            when it began
    quarantine/SCENARIO/run-NN.K/       an attempt that does not count, with quarantine.json

The disk is the only memory: whoever comes after a kill sees what is done by looking.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ansible_collections.rcalab.llm.plugins.module_utils.faults import files, times

from .errors import ExperimentError
from .plan import OVERHEAD_S, Plan, Run

PLAN, BEGUN, SET_ASIDE = "plan.json", "run.json", "quarantine.json"
QUARANTINE = "quarantine"
_CASE = "case.json"
# Where it stands a case is complete, so an attempt that does not count must not have it.
_WITHDRAWN = "withdrawn.case.json"

State = Literal["todo", "half", "undiagnosed", "done"]
Kind = Literal["contaminated", "failed", "unfinished"]


@dataclass(frozen=True)
class Attempt:
    """An attempt in quarantine."""

    run: str
    kind: Kind
    reason: str
    path: Path


@dataclass(frozen=True)
class Folder:
    """The folder of one experiment: ``<results>/<experiment>``."""

    root: Path

    def path(self, run: Run) -> Path:
        """Return a run's own folder."""
        return self.root / run.id

    # the plan

    def plan(self) -> Plan | None:
        """Return the plan that is kept here; None if there is none yet."""
        path = self.root / PLAN
        if not path.exists():
            return None
        try:
            return Plan.from_json(_read(path) or {})
        except ExperimentError as error:
            raise ExperimentError(f"{path}: {error}") from error

    def adopt(self, plan: Plan, *, write: bool) -> bool:
        """Keep a plan, if it goes on where the one that is here ends; say whether it is another.

        A plan of which no run was begun binds nobody.

        Raises
        ------
        ExperimentError
            If what is here was planned otherwise: its runs could not be compared with the new ones.
        """
        earlier = self.plan()
        if earlier == plan:
            return False
        if earlier is not None and self._begun(earlier):
            if earlier.grown_from(plan):
                return False
            if not plan.grown_from(earlier):
                raise ExperimentError(
                    f"{self.root} holds another plan: {_difference(earlier, plan)}. Give this "
                    f"experiment another folder, or ask for what was asked then"
                )
        if write:
            self.root.mkdir(parents=True, exist_ok=True)
            files.write_json(self.root / PLAN, plan.to_json())
        return True

    def _begun(self, plan: Plan) -> bool:
        return (self.root / QUARANTINE).exists() or any(
            self.path(run).exists() for run in plan.runs
        )

    # what is done

    def state(self, run: Run, methods: Iterable[str] = (), *, hashed: bool = True) -> State:
        """Look at a run's folder.

        ``methods`` must have answered for it to be done. ``hashed`` reads every file of its case;
        without, each must only be there.
        """
        folder = self.path(run)
        if not folder.is_dir():
            return "todo"
        if (folder / SET_ASIDE).exists() or not is_complete(folder, hashed=hashed):
            return "half"
        answers = [folder / "diagnosis" / f"{method}.json" for method in methods]
        if all(each.is_file() for each in (*answers, folder / "report.html")):
            return "done"
        return "undiagnosed"

    def overhead_s(self, plan: Plan) -> float:
        """Return what a run takes beside its load, from those that are done."""
        took = []
        for run in plan.runs:
            begun, case = self.path(run) / BEGUN, self.path(run) / _CASE
            if begun.exists() and case.exists():
                took.append(case.stat().st_mtime - begun.stat().st_mtime - run.loaded_s)
        return max(0.0, statistics.median(took)) if took else OVERHEAD_S

    # one run

    def begin(self, run: Run) -> Attempt | None:
        """Make room for a run, and return the half one that lay there, set aside."""
        folder = self.path(run)
        aside = None
        if folder.exists():
            stopped = "its case is not whole" if (folder / _CASE).exists() else "it was stopped"
            told = _read(folder / SET_ASIDE) or {"kind": "unfinished", "reason": stopped}
            aside = self.set_aside(run, told["kind"], told["reason"])
        folder.mkdir(parents=True)
        files.write_json(folder / BEGUN, {"format": 1, "run": run.id, "begun": times.now_text()})
        return aside

    def contamination(self, run: Run, in_flight_s: float) -> str | None:
        """Say why what a run recorded is not its fault's doing; None if it may be.

        A breach of the SLO before the fault was something else's, unless it came so shortly before
        that requests in flight count (``in_flight_s``). A sham breaks nothing, so its breaches are
        what it is there to show.

        Raises
        ------
        ExperimentError
            If the run has no records.
        """
        folder = self.path(run)
        summary = _read(folder / "load" / "summary.json")
        if summary is None:
            raise ExperimentError(f"{folder}/load/summary.json: the load did not end")
        if summary["interrupted"]:
            return "its load was ended before its time"
        if run.fault is None:
            return None
        truth = _read(folder / "ground_truth.json")
        if truth is None:
            raise ExperimentError(f"{folder}/ground_truth.json: the fault left no truth")
        if truth["outcome"] != "effective":
            why = "; ".join(truth["messages"]) or "no reason was recorded"
            return f"its fault was {truth['outcome'].replace('_', ' ')}: {why}"
        breach, applied = summary["slo"]["first_breach"], truth["times"]["applied"]
        if run.sham or breach is None or applied is None:
            return None
        if _seconds(applied) - _seconds(breach["time"]) <= in_flight_s:
            return None
        return f"the client's SLO was broken at {breach['time']}, before the fault ({applied})"

    def set_aside(self, run: Run, kind: Kind, reason: str) -> Attempt:
        """Move a run's folder to the quarantine, where no reader of cases finds one."""
        folder = self.path(run)
        told = {"format": 1, "run": run.id, "kind": kind, "reason": reason}
        # First of all, so that a kill before the move leaves no folder that could pass as a run.
        files.write_json(folder / SET_ASIDE, {**told, "time": times.now_text()})
        if (folder / _CASE).exists():
            files.rename(folder / _CASE, folder / _WITHDRAWN)
        place = self.root / QUARANTINE / run.scenario
        place.mkdir(parents=True, exist_ok=True)
        number = 1
        while (place / f"{folder.name}.{number}").exists():
            number += 1
        files.rename(folder, place / f"{folder.name}.{number}")
        return Attempt(run.id, kind, reason, place / f"{folder.name}.{number}")

    def quarantine(self) -> Iterator[Attempt]:
        """Yield what was set aside, by name."""
        for path in sorted((self.root / QUARANTINE).glob(f"*/*/{SET_ASIDE}")):
            told = _read(path) or {}
            yield Attempt(told["run"], told["kind"], told["reason"], path.parent)


def is_complete(folder: Path, *, hashed: bool = True) -> bool:
    """Tell whether a folder holds a whole case: every file that its manifest names, unchanged."""
    case, manifest = _read(folder / _CASE), _read(folder / "manifest.json")
    if case is None or manifest is None:
        return False
    return all(
        (folder / name).is_file() and (not hashed or _sha256(folder / name) == digest)
        for name, digest in manifest["files"].items()
    )


def _difference(earlier: Plan, plan: Plan) -> str:
    """Name the first thing in which two plans differ."""
    for name in ("experiment", "seed", "order"):
        if getattr(earlier, name) != getattr(plan, name):
            return f"its {name} is {getattr(earlier, name)!r}, and now {getattr(plan, name)!r}"
    for number, (old, new) in enumerate(zip(earlier.runs, plan.runs, strict=False), start=1):
        if old.id != new.id:
            return f"its run {number} is {old.id}, and now {new.id}"
        for name, value in vars(old).items():
            if value != getattr(new, name):
                return f"{old.id} has {name} {value!r}, and now {getattr(new, name)!r}"
    return f"it has {len(earlier.runs)} runs, and now {len(plan.runs)}"


def _read(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where there is none, or not a whole one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return document if isinstance(document, dict) else None


def _seconds(text: str) -> float:
    """Read ``2026-11-22T16:43:37.123456789Z`` as seconds since the epoch, to the microsecond."""
    return datetime.fromisoformat(f"{text[:26]}+00:00").timestamp()


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
