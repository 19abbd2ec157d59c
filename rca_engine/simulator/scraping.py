# SPDX-License-Identifier: Apache-2.0
"""Collects raw samples: every target at its interval, at a phase of its own, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rca_engine.simulator.spec import Timing, at_ns
from rca_engine.telemetry.samples import Floats, Samples, label_key

Mask = npt.NDArray[np.bool_]
_MS = 1_000_000


class Scraper:
    """What Prometheus would hold; times in seconds since the start, some before it."""

    def __init__(self, rng: np.random.Generator, timing: Timing) -> None:
        self._rng, self._timing = rng, timing
        self._phase: dict[tuple[str, str], float] = {}
        self._answered: dict[tuple[str, str], Mask] = {}
        self._points: dict[tuple[str, str], Mapping[int, float]] = {}

    def times(self, job: str, component: str) -> Floats:
        """Return when a target was scraped, shape (scrapes,)."""
        step = self._timing.scrape_interval_s
        phase = self._phase.setdefault((job, component), float(self._rng.uniform(0.1, 0.9)))
        times: Floats = (
            np.arange(-self._timing.before_s, self._timing.length_s, step) + phase * step
        )
        return times

    def answers(self, job: str, component: str, answered: Mask) -> None:
        """Say which of its scrapes a target answered; all, if nothing is said."""
        self._answered[job, component] = answered

    def add(self, name: str, job: str, component: str, values: Floats, **labels: str) -> None:
        """Add a series: its value at each of ``times``; scrapes that failed have none.

        Prometheus itself writes ``up`` and ``scrape_duration_seconds``, also of a failed scrape;
        NaN stands for a value that the target did not show.
        """
        times = self.times(job, component)
        kept = np.isfinite(values)
        if name not in ("up", "scrape_duration_seconds"):
            kept &= self._answered.get((job, component), np.ones(times.size, dtype=bool))
        key = label_key(
            {"job": job, "instance": f"{component}:9100", "component": component} | labels
        )
        # Prometheus keeps milliseconds.
        times_ns = [round(at_ns(each) / _MS) * _MS for each in times[kept].tolist()]
        self._points[name, key] = dict(zip(times_ns, values[kept].tolist(), strict=True))

    def finish(self, job: str, component: str) -> None:
        """Add what Prometheus itself notes of a target's scrapes."""
        answered = self._answered.get((job, component))
        if answered is None:
            answered = np.ones(self.times(job, component).size, dtype=bool)
        self.add("up", job, component, answered.astype(np.float64))
        duration = np.where(answered, self._rng.lognormal(-4.5, 0.2, answered.size), 1.0)
        self.add("scrape_duration_seconds", job, component, duration)

    def samples(self) -> Samples:
        """Return everything, packed."""
        return Samples.pack({key: row for key, row in self._points.items() if row})
