# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: every run of an experiment in its order, each with all that it needs, and its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .errors import ExperimentError

FORMAT = 1
# What a run takes beside its load, before any has been timed: checks, harvest, diagnosis.
OVERHEAD_S = 25.0


@dataclass(frozen=True)
class Run:
    """One repetition of a scenario."""

    id: str
    scenario: str
    repetition: int
    seed: int
    fault: str | None
    sham: bool
    target: str | None
    confirm: str | None
    parameters: Mapping[str, Any]
    load: Mapping[str, Any]
    replicas: int | None
    warmup_s: int
    steady_state_s: int
    baseline_s: int
    fault_s: int
    recovery_s: int

    @property
    def loaded_s(self) -> int:
        """How long it is under load, in seconds."""
        parts = (self.warmup_s, self.steady_state_s, self.baseline_s, self.fault_s, self.recovery_s)
        return sum(parts)


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment; ``notes`` says what of the suite is not among them, and why."""

    experiment: str
    seed: int
    order: str
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """Read a plan that this version wrote.

        Raises
        ------
        ExperimentError
            If it is none.
        """
        try:
            if document["format"] != FORMAT:
                raise ExperimentError(
                    f"a plan of format {document['format']!r}; this version reads {FORMAT}"
                )
            runs = tuple(Run(**each) for each in document["runs"])
            values = {key: document[key] for key in ("experiment", "seed", "order")}
            return cls(**values, runs=runs, notes=tuple(document["notes"]))
        except (KeyError, TypeError) as error:
            raise ExperimentError(f"not a plan: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Return it as ``docs/contracts.md`` shows it."""
        document = {"format": FORMAT, **asdict(self)}
        return document | {"runs": list(document["runs"]), "notes": list(self.notes)}

    def find(self, run_id: str) -> Run:
        """Return the run with an id.

        Raises
        ------
        ExperimentError
            If there is none.
        """
        for run in self.runs:
            if run.id == run_id:
                return run
        raise ExperimentError(f"the plan has no run {run_id!r}")

    def grown_from(self, earlier: Plan) -> bool:
        """Tell whether this is an earlier plan, with more runs after its own or none.

        Runs that are done stay where they are then, and what they were asked stays too.
        """
        mine = replace(self, runs=self.runs[: len(earlier.runs)], notes=())
        return mine == replace(earlier, notes=())


def seconds_left(runs: Sequence[Run], overhead_s: float = OVERHEAD_S) -> float:
    """Estimate how long some runs take, one after the other."""
    return sum(run.loaded_s + overhead_s for run in runs)


def duration(seconds: float) -> str:
    """Write a length of time as a person says it: ``40 s``, ``7 min``, ``2 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
