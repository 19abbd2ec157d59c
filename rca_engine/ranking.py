# SPDX-License-Identifier: Apache-2.0
"""What a method is told, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Context:
    """What a method is told besides the case.

    Parameters
    ----------
    time_ns
        When the incident was noticed; None if the method must find out itself.
    alert_component, alert_metric
        What alerted, None where unknown.
    seed
        All randomness of the method follows from it.
    budget_s
        Seconds after which an answer is of no use; None for no limit.
    """

    time_ns: int | None = None
    alert_component: str | None = None
    alert_metric: str | None = None
    seed: int = 0
    budget_s: float | None = None

    def rng(self) -> np.random.Generator:
        """Return the one source of randomness that a method may use."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Evidence:
    """Why a metric is suspected; ``before`` and ``after`` in ``unit``.

    ``first_deviation_ns`` is when it first left its normal range, None if it never did for long.
    """

    before: float
    after: float
    direction: Literal["up", "down"]
    unit: str
    first_deviation_ns: int | None


@dataclass(frozen=True)
class Candidate:
    """One suspect: a component (no metric), or one metric of it with its evidence."""

    component: str
    score: float
    metric: str | None = None
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        if (self.metric is None) != (self.evidence is None):
            raise ValueError(f"{self.component}: a metric needs evidence, and evidence a metric")


@dataclass(frozen=True)
class Ranking:
    """Suspects, strongest first; no candidates means "no fault found".

    ``time_ns`` is when the method takes the incident to have begun, ``degraded`` why it could not
    do all that it should.
    """

    candidates: tuple[Candidate, ...]
    time_ns: int | None = None
    degraded: str | None = None

    def components(self) -> tuple[Candidate, ...]:
        """Return one candidate a component, strongest first.

        A method that ranks components itself gives candidates without a metric, and those count;
        else a component is as suspect as its most suspect metric.
        """
        own = [each for each in self.candidates if each.metric is None]
        first: dict[str, Candidate] = {}
        for each in own or self.candidates:
            first.setdefault(each.component, Candidate(each.component, each.score))
        return tuple(first.values())

    def metrics(self) -> tuple[tuple[Candidate, Evidence], ...]:
        """Return the candidates that name a metric, each with its evidence, strongest first."""
        return tuple((each, each.evidence) for each in self.candidates if each.evidence is not None)
