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

    ``first_deviation_ns`` is when it first left its normal range, None if it never did for long;
    ``p_value`` the chance of as much without a fault, None where the method tests nothing.
    """

    before: float
    after: float
    direction: Literal["up", "down"]
    unit: str
    first_deviation_ns: int | None
    p_value: float | None = None


@dataclass(frozen=True)
class LogEvidence:
    """Why a component's log is suspected: one template that came more or less often.

    Parameters
    ----------
    template
        The lines' common text, with its variable parts masked.
    before, after
        Lines in the normal and in the anomalous window, in ``unit``.
    sample
        One such line as it was written. It is whatever some program logged: show it only through
        :mod:`rca_engine.untrusted` and escaped.
    unit
        ``1/s``, or ``1`` where the two are counts.
    """

    template: str
    before: float
    after: float
    sample: str = ""
    unit: str = "1/s"


@dataclass(frozen=True)
class SpanEvidence:
    """Why a component's spans are suspected: one operation that took longer, failed or vanished.

    Parameters
    ----------
    operation
        The spans' name, as untrusted as a log line.
    before_ms, after_ms
        Typical durations in the normal and in the anomalous window; None where it has no spans.
    count_before, count
        Spans in the normal and in the anomalous window, None where the method does not count them.
    errors
        Failed spans among ``count``.
    """

    operation: str
    before_ms: float | None
    after_ms: float | None
    count_before: int | None = None
    count: int | None = None
    errors: int | None = None


Signal = LogEvidence | SpanEvidence


@dataclass(frozen=True)
class Candidate:
    """One suspect: a component (no metric), or one metric of it with its evidence.

    Parameters
    ----------
    component, score
        Who is suspected, and how much; scores compare within one ranking only.
    metric, evidence
        Both or neither.
    signals
        What its logs and spans say, strongest first; with or without a metric.
    path
        Components from this one to the alert's along which the effect came, where the method
        followed one.
    """

    component: str
    score: float
    metric: str | None = None
    evidence: Evidence | None = None
    signals: tuple[Signal, ...] = ()
    path: tuple[str, ...] = ()

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
        """Return one candidate a component, strongest first, with all signals of the component.

        A method that ranks components itself gives candidates without a metric, and those count;
        else a component is as suspect as its most suspect metric.
        """
        own = [each for each in self.candidates if each.metric is None]
        signals: dict[str, dict[Signal, None]] = {}
        for each in self.candidates:
            signals.setdefault(each.component, {}).update(dict.fromkeys(each.signals))
        first: dict[str, Candidate] = {}
        for each in own or self.candidates:
            found = tuple(signals[each.component])
            first.setdefault(
                each.component,
                Candidate(each.component, each.score, signals=found, path=each.path),
            )
        return tuple(first.values())

    def metrics(self) -> tuple[tuple[Candidate, Evidence], ...]:
        """Return the candidates that name a metric, each with its evidence, strongest first."""
        return tuple((each, each.evidence) for each in self.candidates if each.evidence is not None)
