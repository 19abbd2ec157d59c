# SPDX-License-Identifier: Apache-2.0
"""Raw samples to derived metrics on the step grid, by the vocabulary's rules.

A counter's rate at a grid point is its increase since the last sample before a trailing window,
over the seconds between the two samples. So the increase over a gap in the scrapes is not lost, as
it is with PromQL's ``rate``, but shows as its mean right after the gap. Resets are allowed for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rca_engine.model import NS
from rca_engine.telemetry.samples import Floats, Ints, Samples

RATE_WINDOW_S = 5.0
"""Seconds over which rates are taken, and for which a gauge's last sample counts as current."""

_FOLDS = {"sum": (np.add, 0.0), "min": (np.minimum, np.inf), "max": (np.maximum, -np.inf)}
"""Aggregate to its function and what it gives for nothing."""


@dataclass(frozen=True)
class Derived:
    """Derived series: ``matrix`` has the shape (steps, series); NaN where nothing is known."""

    keys: tuple[tuple[str, str], ...]
    """(component, metric) of each column."""
    matrix: Floats
    used: Mapping[str, tuple[str, ...]]
    """Metric to the names of the series that it was made from."""


def increase(
    times_ns: Ints, values: Floats, grid_ns: Ints, window_ns: int
) -> tuple[Floats, Floats]:
    """Return a counter's reset-aware increase at each grid point, and the seconds it took.

    Parameters
    ----------
    times_ns, values
        Shape (samples,): scrape times, ascending, and the counter's values.
    grid_ns
        Shape (steps,).
    window_ns
        Length of the trailing window.

    Returns
    -------
    increases, seconds
        Shape (steps,) each; NaN where the window holds no sample or nothing came before it.
    """
    known = np.isfinite(values)
    times_ns, values = times_ns[known], values[known]
    if times_ns.size < 2:
        return np.full(grid_ns.shape, np.nan), np.full(grid_ns.shape, np.nan)
    steps = np.diff(values)
    # After a reset the counter began at zero: all that it shows is new.
    total = np.concatenate([[0.0], np.cumsum(np.where(steps < 0, values[1:], steps))])
    last = np.searchsorted(times_ns, grid_ns, side="right") - 1
    first = np.searchsorted(times_ns, grid_ns - window_ns, side="right") - 1
    first = np.maximum(first, 0)
    # Indices of absent samples are masked below; clipping only keeps the look-ups in range.
    current = np.maximum(last, 0)
    seconds = (times_ns[current] - times_ns[first]) / NS
    fresh = (last > first) & (times_ns[current] > grid_ns - window_ns)
    return (
        np.where(fresh, total[current] - total[first], np.nan),
        np.where(fresh, seconds, np.nan),
    )


def latest(times_ns: Ints, values: Floats, grid_ns: Ints, window_ns: int) -> Floats:
    """Return a gauge's last value at each grid point, NaN where it is older than the window."""
    if times_ns.size == 0:
        return np.full(grid_ns.shape, np.nan)
    last = np.searchsorted(times_ns, grid_ns, side="right") - 1
    current = np.maximum(last, 0)
    fresh = (last >= 0) & (times_ns[current] > grid_ns - window_ns)
    return np.where(fresh, values[current], np.nan)


def derive(
    samples: Samples,
    vocabulary: Mapping[str, Mapping[str, Any]],
    grid_ns: Ints,
    *,
    window_s: float = RATE_WINDOW_S,
) -> Derived:
    """Make every metric of the vocabulary that has series, for each component that has them.

    Parameters
    ----------
    samples
        Raw samples.
    vocabulary
        The ``metrics`` of the vocabulary: name to entry.
    grid_ns
        Shape (steps,).
    window_s
        Trailing window in seconds.

    Returns
    -------
    Derived
        Columns in sorted order of (component, metric).
    """
    deriver = _Deriver(samples, grid_ns, round(window_s * NS))
    columns: dict[tuple[str, str], Floats] = {}
    used: dict[str, tuple[str, ...]] = {}
    for name, entry in vocabulary.items():
        if "records" in entry["source"]:
            continue
        names, by_component = deriver.metric(entry)
        if by_component:
            used[name] = names
        columns |= {(component, name): values for component, values in by_component.items()}
    keys = tuple(sorted(columns))
    matrix = (
        np.column_stack([columns[key] for key in keys])
        if keys
        else np.empty((grid_ns.size, 0), dtype=np.float64)
    )
    return Derived(keys, matrix, used)


def select(
    samples: Samples, entry: Mapping[str, Any], names: Sequence[str]
) -> tuple[str | None, dict[str, list[int]]]:
    """Find the series of a metric: the first of ``names`` that any component has.

    Returns
    -------
    name, by_component
        The name that was found (None if none) and the indices of its series by component.
    """
    job = entry["source"].get("job")
    for name in names:
        by_component: defaultdict[str, list[int]] = defaultdict(list)
        for index in (i for i, each in enumerate(samples.names) if each == name):
            component = samples.component(index)
            if component is None or component.split("/", 1)[0] not in entry["components"]:
                continue
            if job is None or samples.labels[index].get("job") == job:
                by_component[component].append(index)
        if by_component:
            return name, dict(by_component)
    return None, {}


class _Deriver:
    def __init__(self, samples: Samples, grid_ns: Ints, window_ns: int) -> None:
        self._samples, self._grid, self._window = samples, grid_ns, window_ns
        self._scrapes = _scrapes(samples)

    def metric(self, entry: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Floats]]:
        source = entry["source"]
        if entry["kind"] == "mean":
            parts = [select(self._samples, entry, source[side]) for side in ("sum", "count")]
            names = tuple(name for name, _ in parts if name is not None)
            tops, bottoms = (by_component for _, by_component in parts)
            without = source.get("without", {})
            return names, {
                component: self._ratio(self._kept(tops[component], without), bottoms[component])
                for component in tops.keys() & bottoms.keys()
            }
        name, by_component = select(self._samples, entry, source["series"])
        make = self._rate if entry["kind"] == "rate" else self._gauge
        return () if name is None else (name,), {
            component: make(indices, source.get("aggregate", "sum"))
            for component, indices in by_component.items()
        }

    def _kept(self, indices: Iterable[int], without: Mapping[str, Sequence[str]]) -> list[int]:
        labels = self._samples.labels
        return [
            index
            for index in indices
            if all(labels[index].get(key) not in values for key, values in without.items())
        ]

    def _gauge(self, indices: Sequence[int], aggregate: str) -> Floats:
        rows = [latest(*self._samples.series(index), self._grid, self._window) for index in indices]
        return _fold(np.array(rows), aggregate)

    def _rate(self, indices: Sequence[int], aggregate: str) -> Floats:
        rows = []
        for index in indices:
            total, seconds = self._increase(index)
            rows.append(total / seconds)
        return _fold(np.array(rows), aggregate)

    def _ratio(self, tops: Sequence[int], bottoms: Sequence[int]) -> Floats:
        top, bottom = (
            _fold(np.array([self._increase(index)[0] for index in indices]), "sum")
            for indices in (tops, bottoms)
        )
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

    def _increase(self, index: int) -> tuple[Floats, Floats]:
        times_ns, values = self._samples.series(index)
        # A counter that its target did not show at earlier scrapes began at zero: an error counter
        # appears with the first error.
        scrapes = self._scrapes[_target(self._samples.labels[index])]
        earlier = scrapes[: np.searchsorted(scrapes, times_ns[0])]
        return increase(
            np.concatenate([earlier, times_ns]),
            np.concatenate([np.zeros(earlier.size), values]),
            self._grid,
            self._window,
        )


def _fold(rows: Floats, aggregate: str) -> Floats:
    """Fold series (rows) into one; a step counts those that have a value, NaN if none has."""
    known = np.isfinite(rows)
    fold, nothing = _FOLDS[aggregate]
    folded = fold.reduce(np.where(known, rows, nothing), axis=0)
    return np.where(known.any(axis=0), folded, np.nan)


def _target(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("job", ""), labels.get("instance", "")


def _scrapes(samples: Samples) -> dict[tuple[str, str], Ints]:
    """Return when each target answered a scrape: times of any series that it serves itself."""
    times: defaultdict[tuple[str, str], list[Ints]] = defaultdict(list)
    for index, (name, labels) in enumerate(zip(samples.names, samples.labels, strict=True)):
        if name not in ("up", "scrape_duration_seconds"):
            times[_target(labels)].append(samples.series(index)[0])
    return {target: np.unique(np.concatenate(parts)) for target, parts in times.items()}
