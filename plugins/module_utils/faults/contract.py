# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault is: the parameters it takes, and the steps that the runner leads it through."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .errors import RefusedError
from .pods import Pod
from .undo import Undo, UndoAction

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


@dataclass(frozen=True)
class Spec:
    """What a user asks for: one fault on one component."""

    fault: str
    target: str
    parameters: Mapping[str, object] = field(default_factory=dict)

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
        unknown = sorted(set(data) - {"fault", "target", "parameters"})
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
        return cls(fault, target, parameters)


@dataclass(frozen=True)
class Target:
    """What the fault is done to."""

    pod: Pod
    host: str


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
    # A sham goes through every step without a dose; its effect must not be seen.
    sham: ClassVar[bool] = False
    # Kinds of components that it can be done to.
    kinds: ClassVar[tuple[str, ...]]
    # Mechanism -> the isolation of the lab for which it is the default, ANY_ISOLATION for both and
    # None for neither.
    mechanisms: ClassVar[Mapping[str, str | None]]
    parameters: ClassVar[tuple[Parameter, ...]]
    # How long the effect may take to be seen, in seconds.
    effect_deadline_s: ClassVar[float] = 20.0
    # How long the target is watched before the dose, to compare with, in seconds.
    baseline_s: ClassVar[float] = 1.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        """Take a target and the user's parameters.

        Raises
        ------
        RefusedError
            If a parameter is unknown or out of bounds, or the target is of the wrong kind.
        """
        kind = target.pod.component.partition("/")[0]
        if kind not in self.kinds:
            raise RefusedError(
                f"{self.id} can't be done to {target.pod.component}, only to a component of kind "
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

    def _choose_mechanism(self, wanted: object) -> str:
        if wanted is None:
            isolation = self.target.pod.isolation
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

    @abstractmethod
    def verify_effect(self) -> bool:
        """Look at the target once and say whether the dose acts on it."""

    @abstractmethod
    def disturbance(self) -> str | None:
        """Say what has changed the dose, or the target under it, if something has."""

    @abstractmethod
    def measured_dose(self) -> dict[str, float]:
        """Return the dose as measured at the target, from `inject` until now."""

    def revert(self, undo: Undo) -> None:
        """Put the target back; a fault that keeps doing something to it ends that first."""
        undo.restore()

    def verify_reverted(self, undo: Undo) -> None:
        """Look at the target itself, and raise `NotRevertedError` if it is not as captured."""
        undo.verify()
