# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault is: the parameters it takes, and the steps that the runner leads it through."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

from . import clocks
from .errors import RefusedError
from .guard import GuardSpec
from .lab import Grafana, Lab, Part
from .pods import Pod
from .undo import Undo
from .undo_action import UndoAction

MECHANISM = "mechanism"
ANY_ISOLATION = "any"


@dataclass(frozen=True)
class Parameter:
    """A number that a fault takes, with its bounds (both allowed).

    The unit stands in the name (``duration_s``, ``cpu_limit_cores``).
    """

    name: str
    default: float
    minimum: float
    maximum: float
    description: str

    def check(self, value: object) -> float:
        """Return ``value`` as a number within the bounds.

        Raises
        ------
        RefusedError
            If it is no number or out of bounds.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RefusedError(f"parameter {self.name} must be a number, not {value!r}")
        # Written so that a NaN is refused too.
        if not self.minimum <= value <= self.maximum:
            raise RefusedError(
                f"parameter {self.name} must be from {self.minimum:g} to {self.maximum:g}, "
                f"not {value!r}"
            )
        return float(value)


DURATION = Parameter(
    "duration_s", 45, 1, 300, "How long the dose lasts, from its start, in seconds."
)


_SPEC_KEYS = {"fault", "target", "parameters", "confirm", "guard"}


@dataclass(frozen=True)
class Spec:
    """What a user asks for: one fault on one component.

    Attributes
    ----------
    confirm
        The target once more; asked for where a fault acts on more than one pod.
    guard
        What ends the window early; None for nothing.
    """

    fault: str
    target: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    confirm: str | None = None
    guard: GuardSpec | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read a spec from JSON: ``{"fault": "F01", "target": "...", "parameters": {...}}``.

        Raises
        ------
        RefusedError
            If the text is no such object.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise RefusedError(f"the spec is no JSON: {error}") from error
        if not isinstance(data, dict):
            raise RefusedError("the spec must be a JSON object with fault, target and parameters")
        unknown = sorted(set(data) - _SPEC_KEYS)
        if unknown:
            raise RefusedError(f"the spec has unknown keys: {', '.join(unknown)}")
        fault, target = data.get("fault"), data.get("target")
        parameters = data.get("parameters", {})
        if not isinstance(fault, str):
            raise RefusedError("the spec must name one fault, such as F01")
        if not isinstance(target, str):
            raise RefusedError(
                "the spec must name one target, such as replica/llm-0: one at a time"
            )
        if not isinstance(parameters, dict):
            raise RefusedError("the spec's parameters must be an object")
        confirm, guard = data.get("confirm"), data.get("guard")
        if confirm is not None and not isinstance(confirm, str):
            raise RefusedError("the spec's confirm must be the target's name once more")
        return cls(
            fault, target, parameters, confirm, None if guard is None else GuardSpec.parse(guard)
        )


class Where(Protocol):
    """What a component is: a pod, or a part of the lab that is none."""

    @property
    def component(self) -> str:
        """Its component, such as ``replica/llm-0``."""

    @property
    def isolation(self) -> str:
        """By which a fault's default mechanism is chosen."""


@dataclass(frozen=True)
class Target:
    """What the fault is done to, and the lab around it where it is known.

    Attributes
    ----------
    results
        Where the run keeps what it measured; None where nobody asked for that.
    """

    where: Where
    host: str
    around: Lab | None = None
    results: Path | None = None

    @property
    def component(self) -> str:
        """Its component, such as ``replica/llm-0``."""
        return self.where.component

    @property
    def pod(self) -> Pod:
        """The pod that it is; raises `RefusedError` where it is none."""
        if not isinstance(self.where, Pod):
            raise RefusedError(f"{self.component} is no pod")
        return self.where

    @property
    def part(self) -> Part:
        """The part of the lab that it is; raises `RefusedError` where it is a pod."""
        if not isinstance(self.where, Part):
            raise RefusedError(f"{self.component} is a pod")
        return self.where

    @property
    def lab(self) -> Lab:
        """The lab around it; raises `RefusedError` where nobody told."""
        if self.around is None:
            raise RefusedError(f"nothing is known of the lab around {self.component}")
        return self.around

    @property
    def grafana(self) -> Grafana | None:
        """Where its windows are annotated; None for nowhere."""
        return None if self.around is None else self.around.grafana

    def clocks(self) -> dict[str, Callable[[], dict[str, float]]]:
        """Return what asks other clocks how far they are from this host's, by their names."""
        if self.around is None or self.around.prometheus is None:
            return {}
        return {"Prometheus": partial(clocks.prometheus_offset_ms, self.around.prometheus)}

    def describe(self) -> dict[str, str]:
        """Return what the ground truth tells of it."""
        pod = self.where.name if isinstance(self.where, Pod) else ""
        return {"component": self.component, "pod": pod, "host": self.host}


class Fault(ABC):
    """One fault on one target; a subclass in ``catalogue/`` is one entry of the catalogue.

    The runner calls the steps in the order in which they stand here. Only `inject` may change the
    target, and only what the undo that `capture` returned puts back.
    """

    id: ClassVar[str]
    name: ClassVar[str]
    summary: ClassVar[str]
    layer: ClassVar[str]
    symptoms: ClassVar[str]
    requirements: ClassVar[str]
    platform: ClassVar[str] = "host"
    # A sham goes through every step without a dose; its effect must not be seen.
    sham: ClassVar[bool] = False
    # Kinds of components that it can be done to.
    kinds: ClassVar[tuple[str, ...]]
    # Mechanism -> the isolation of the lab for which it is the default, ANY_ISOLATION for both and
    # None for neither.
    mechanisms: ClassVar[Mapping[str, str | None]]
    parameters: ClassVar[tuple[Parameter, ...]]
    # It ends something that others start again: the window ends when that is back.
    restarts: ClassVar[bool] = False
    # It acts on more than one pod: whoever asks for it names the target twice.
    needs_confirmation: ClassVar[bool] = False
    # How long the watchdog may take to watch, in seconds.
    arm_deadline_s: ClassVar[float] = 10.0
    # How long a look at the target may keep the runner from showing that it lives, in seconds.
    lease_s: ClassVar[float] = 5.0
    # How long others, whom `inject` has asked, may take to give the dose, in seconds.
    give_deadline_s: ClassVar[float] = 0.0
    # How long the effect may take to be seen, in seconds.
    effect_deadline_s: ClassVar[float] = 20.0
    # How long the target may take to be as it was, from the revert, in seconds.
    revert_deadline_s: ClassVar[float] = 5.0
    # How long the target is watched before the dose, to compare with, in seconds.
    baseline_s: ClassVar[float] = 1.0
    # The window's name, once it has one.
    window_id: str = ""

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        """Take a target and the user's parameters.

        Raises
        ------
        RefusedError
            If a parameter is unknown or out of bounds, or the target is of the wrong kind.
        """
        kind = target.component.partition("/")[0]
        if kind not in self.kinds:
            raise RefusedError(
                f"{self.id} can't be done to {target.component}, only to a component of kind "
                f"{' or '.join(self.kinds)}"
            )
        known = {parameter.name: parameter for parameter in self.parameters}
        unknown = sorted(set(values) - set(known) - {MECHANISM})
        if unknown:
            raise RefusedError(
                f"{self.id} has no parameter {', '.join(unknown)}; it has {MECHANISM}, "
                f"{', '.join(known)}"
            )
        self.target = target
        self.mechanism = self._choose_mechanism(values.get(MECHANISM))
        self.values = {
            name: parameter.check(values.get(name, parameter.default))
            for name, parameter in known.items()
        }

    @classmethod
    def of(cls, target: Target, values: Mapping[str, object]) -> Fault:
        """Return the fault on a target; a sham is another one for another kind of target."""
        return cls(target, values)

    def _choose_mechanism(self, wanted: object) -> str:
        if wanted is None:
            isolation = self.target.where.isolation
            for name, where in self.mechanisms.items():
                if where in (isolation, ANY_ISOLATION):
                    return name
            raise RefusedError(
                f"{self.id} can't be done with lab_isolation={isolation}: "
                f"{self.requirements[0].lower()}{self.requirements[1:]}"
            )
        if wanted not in self.mechanisms:
            raise RefusedError(
                f"{self.id} has no mechanism {wanted!r}; it has {', '.join(self.mechanisms)}"
            )
        return str(wanted)

    @property
    def duration_s(self) -> float:
        """How long the dose lasts, in seconds."""
        return self.values[DURATION.name]

    @abstractmethod
    def root_cause_metrics(self) -> tuple[str, ...]:
        """Return the metrics that count as the cause, from ``rca_engine/schemas/metrics.json``."""

    def root_causes(self) -> dict[str, tuple[str, ...]]:
        """Return the components that count as right, each with its metrics."""
        return {self.target.component: self.root_cause_metrics()}

    @abstractmethod
    def intended_dose(self) -> dict[str, float]:
        """Return what the dose is meant to be."""

    @abstractmethod
    def preflight(self) -> None:
        """Touch nothing, and raise `RefusedError` where the fault can't be done and undone."""

    @abstractmethod
    def capture(self) -> tuple[UndoAction, ...]:
        """Return what puts the target back exactly as it is now, and begin the baseline."""

    @abstractmethod
    def inject(self) -> None:
        """Give the dose."""

    def missing_dose(self) -> str | None:
        """Say what is still missing of the dose, where `inject` has others give it."""
        return None

    def given_at(self) -> str | None:
        """Return the time of the dose as those tell it who gave it; None where it was `inject`."""
        return None

    @abstractmethod
    def verify_effect(self) -> bool:
        """Look at the target once and say whether the dose acts on it."""

    @abstractmethod
    def disturbance(self) -> str | None:
        """Say what has changed the dose, or the target under it, if something has."""

    @abstractmethod
    def measured_dose(self) -> dict[str, float]:
        """Return the dose as measured at the target, from `inject` until now."""

    def is_over(self) -> bool:
        """Say whether the effect has passed by itself: what was ended is back."""
        return False

    def remarks(self) -> list[str]:
        """Return what else the ground truth should tell, such as what was killed."""
        return []

    def revert(self, undo: Undo) -> None:
        """Put the target back; a fault that keeps doing something to it ends that first."""
        undo.restore()

    def verify_reverted(self, undo: Undo) -> None:
        """Look at the target itself, and raise `NotRevertedError` if it is not as captured."""
        undo.verify()
