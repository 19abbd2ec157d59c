# SPDX-License-Identifier: Apache-2.0
"""How surprising each source finds each component, as a multiple of what chance makes of it.

Every score is divided by the level that the largest of all scores of its source reaches while
nothing is wrong: so 1 is "as odd as the oddest thing of a quiet time", whatever the source, and
sources can be compared without being averaged.

Drift
    The halves of the normal window differ too: users change what they ask for. A change after the
    alert counts by what it exceeds that by: sqrt(after^2 - drift^2), the variances subtracted.
Chance level
    Scores that are standard normal have a largest of n of about sqrt(2 ln n). Metrics have heavy
    tails, and a level of their own (``_surprise_metrics``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rca_engine.methods._periods import Periods
from rca_engine.methods._scores import Floats, Ints
from rca_engine.ranking import Evidence, Signal

HALVES, AFTER, PERIODS = 2, 2, 3
"""Periods 0 and 1 are the halves of the normal window, period 2 is the anomalous one."""
_ANSCOMBE = 3.0 / 8.0


@dataclass(frozen=True)
class Finding:
    """One thing that changed: what it is of a component, and by how many chance levels."""

    component: str
    name: str
    score: float
    evidence: Evidence | None = None
    signal: Signal | None = None


@dataclass(frozen=True)
class Surprise:
    """What one source found, strongest first."""

    source: str
    findings: tuple[Finding, ...]

    @property
    def strength(self) -> float:
        """The largest score; above 1 the source has seen something that chance does not explain."""
        return self.findings[0].score if self.findings else 0.0

    def components(self) -> dict[str, float]:
        """Return each component's largest score."""
        scores: dict[str, float] = {}
        for each in self.findings:
            scores[each.component] = max(each.score, scores.get(each.component, 0.0))
        return scores


def thirds(times: Ints, at: Periods) -> Ints:
    """Return the period of each time: 0 and 1 for the halves of the normal window, 2, or -1."""
    normal, after = at.normal(times), at.anomalous(times)
    middle = np.median(times[normal]) if normal.any() else 0
    return np.where(after, AFTER, np.where(normal, (times > middle).astype(np.int64), -1))


def chance_level(scores: int) -> float:
    """Return about how large the largest of so many standard normal scores is."""
    return float(np.sqrt(2.0 * np.log(max(scores, 2))))


def strongest(finding: Finding) -> tuple[float, str, str]:
    """Order findings: strongest first, then by name."""
    return -finding.score, finding.component, finding.name


def found(
    source: str, names: list[tuple[str, str]], score: Floats, signals: Sequence[Signal]
) -> Surprise:
    """Divide scores that are standard normal by the level that their largest has by chance.

    Parameters
    ----------
    source
        Which source they are of.
    names
        (component, name) of each.
    score
        Shape (names,).
    signals
        What to show for each.
    """
    level = chance_level(len(names))
    findings = [
        Finding(component, name, float(value / level), signal=signal)
        for (component, name), value, signal in zip(names, score, signals, strict=True)
    ]
    return Surprise(source, tuple(sorted(findings, key=strongest)))


def excess(after: Floats, drift: Floats) -> Floats:
    """Return by how much a change exceeds the drift: the variances are subtracted."""
    return np.sqrt(np.clip(after**2 - drift**2, 0.0, None))


def proportions(part: Floats, whole: Floats) -> Floats:
    """Return by how much proportions changed beyond their drift, in standard deviations.

    The arcsine of the square root of a proportion has nearly the same spread wherever it lies
    (Anscombe, Biometrika 1948). Shapes (rows, periods).
    """
    angle = np.arcsin(np.sqrt(np.clip((part + _ANSCOMBE) / (whole + 2 * _ANSCOMBE), 0.0, 1.0)))
    normal_part, normal_whole = part[:, :HALVES].sum(axis=1), whole[:, :HALVES].sum(axis=1)
    normal = np.arcsin(
        np.sqrt(np.clip((normal_part + _ANSCOMBE) / (normal_whole + 2 * _ANSCOMBE), 0.0, 1.0))
    )

    def apart(left: Floats, left_size: Floats, right: Floats, right_size: Floats) -> Floats:
        return 2.0 * (left - right) / np.sqrt(1.0 / (left_size + 0.5) + 1.0 / (right_size + 0.5))

    after = apart(angle[:, AFTER], whole[:, AFTER], normal, normal_whole)
    return excess(after, apart(angle[:, 1], whole[:, 1], angle[:, 0], whole[:, 0]))
