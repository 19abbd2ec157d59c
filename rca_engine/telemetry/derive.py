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
from types import MappingProxyType
from typing import Any

import numpy as np

from rca_engine.model import NS
from rca_engine.telemetry.samples import Floats, Ints, Samples

RATE_WINDOW_S = 5.0
"""Seconds over which rates are taken, and for which a gauge's last sample counts as current."""

_SCRAPES = 2.5
"""Scrapes that a rate must see for an increase between two of them, one of them late."""


def rate_window_s(scrape_interval_s: float) -> float:
    """Return the seconds over which rates are taken of what is scraped at an interval."""
    return max(RATE_WINDOW_S, _SCRAPES * scrape_interval_s)


_FOLDS = {"sum": (np.add, 0.0), "min": (np.minimum, np.inf), "max": (np.maximum, -np.inf)}
"""Aggregate to its function and what it gives for nothing."""


PARTS = ("series", "sum", "count", "buckets")
"""Lists of names that a metric's source may have."""


@dataclass(frozen=True)
class Derived:
    """Derived series: ``matrix`` has the shape (steps, series); NaN where nothing is known."""

    keys: tuple[tuple[str, str], ...]
    """(component, metric) of each column."""
    matrix: Floats
    used: Mapping[str, Mapping[str, list[str]]]
    """Metric to the names of the series that each part of it was made from."""


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


def bucket_quantile(bounds: Floats, counts: Floats, quantile: float) -> Floats:
    """Return a quantile of cumulative histogram buckets, linear within its bucket.

    As PromQL's ``histogram_quantile``: the first bucket begins at 0, and beyond the last finite
    bound nothing is known, so that bound is returned.

    Parameters
    ----------
    bounds
        Shape (buckets,): upper bounds, ascending, the last one infinite.
    counts
        Shape (buckets, steps): how many were at or below each bound; NaN where unknown.
    quantile
        Between 0 and 1.

    Returns
    -------
    Floats
        Shape (steps,); NaN where nothing was counted.
    """
    # Buckets are scraped one after the other: noise may make a larger one smaller.
    counts = np.maximum.accumulate(np.nan_to_num(counts), axis=0)
    total = counts[-1]
    if bounds.size < 2 or np.isfinite(bounds[-1]):
        return np.full(total.shape, np.nan)
    wanted = quantile * total
    place = np.minimum((counts < wanted).sum(axis=0), bounds.size - 2)
    steps = np.arange(total.size)
    below = np.where(place > 0, counts[np.maximum(place - 1, 0), steps], 0.0)
    lower = np.where(place > 0, bounds[np.maximum(place - 1, 0)], 0.0)
    within = counts[place, steps] - below
    share = np.divide(wanted - below, within, out=np.ones_like(wanted), where=within > 0)
    value = lower + (bounds[place] - lower) * np.clip(share, 0.0, 1.0)
    return np.where(total > 0, value, np.nan)


def derive(
    samples: Samples,
    vocabulary: Mapping[str, Mapping[str, Any]],
    grid_ns: Ints,
    *,
    window_s: float = RATE_WINDOW_S,
    windows_s: Mapping[str, float] = MappingProxyType({}),
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
    windows_s
        That of jobs that have another one, by job.

    Returns
    -------
    Derived
        Columns in sorted order of (component, metric).
    """
    deriver = _Deriver(samples, grid_ns)
    columns: dict[tuple[str, str], Floats] = {}
    used: dict[str, Mapping[str, list[str]]] = {}
    for name, entry in vocabulary.items():
        if "records" in entry["source"]:
            continue
        window = windows_s.get(entry["source"].get("job", ""), window_s)
        names, by_component = deriver.metric(entry, round(window * NS))
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
    samples: Samples, entry: Mapping[str, Any], part: str
) -> tuple[list[str], dict[str, list[int]]]:
    """Find the series of one part of a metric: of each component the first alias that it has.

    Parameters
    ----------
    samples
        Where to look.
    entry
        The metric's entry in the vocabulary.
    part
        Which of its lists of names: ``series``, ``sum``, ``count`` or ``buckets``.

    Returns
    -------
    names, by_component
        The names that were found, and the indices of the series by component.
    """
    source = entry["source"]
    job, wanted = source.get("job"), source.get("with", {})
    found: list[str] = []
    by_component: dict[str, list[int]] = {}
    for name in source[part]:
        mine: defaultdict[str, list[int]] = defaultdict(list)
        for index in samples.by_name.get(name, ()):
            component, labels = samples.component(index), samples.labels[index]
            if component is None or component.split("/", 1)[0] not in entry["components"]:
                continue
            if job is not None and labels.get("job") != job:
                continue
            if all(labels.get(key) in values for key, values in wanted.items()):
                mine[component].append(index)
        new = mine.keys() - by_component.keys()
        by_component |= {component: mine[component] for component in new}
        found += [name] if new else []
    return found, by_component


class _Deriver:
    def __init__(self, samples: Samples, grid_ns: Ints) -> None:
        self._samples, self._grid, self._window = samples, grid_ns, 0
        self._scrapes = _scrapes(samples)

    def metric(
        self, entry: Mapping[str, Any], window_ns: int
    ) -> tuple[Mapping[str, list[str]], dict[str, Floats]]:
        self._window = window_ns
        source = entry["source"]
        parts = [part for part in PARTS if part in source]
        found = {part: select(self._samples, entry, part) for part in parts}
        names = {part: each for part, (each, _) in found.items()}
        scale, aggregate = source.get("scale", {}), source.get("aggregate", "sum")
        first = found[parts[0]][1]
        if entry["kind"] == "mean":
            tops, bottoms, without = first, found["count"][1], source.get("without", {})
            return names, {
                component: self._ratio(
                    self._kept(tops[component], without), bottoms[component], scale
                )
                for component in tops.keys() & bottoms.keys()
            }
        if entry["kind"] == "quantile":
            return names, {
                component: self._quantile(indices, source["quantile"], scale)
                for component, indices in first.items()
            }
        make = self._rate if entry["kind"] == "rate" else self._gauge
        kept = {
            component: self._kept(indices, source.get("without", {}))
            for component, indices in first.items()
        }
        return names, {
            component: make(indices, aggregate, scale)
            for component, indices in kept.items()
            if indices
        }

    def _kept(self, indices: Iterable[int], without: Mapping[str, Sequence[str]]) -> list[int]:
        labels = self._samples.labels
        return [
            index
            for index in indices
            if all(labels[index].get(key) not in values for key, values in without.items())
        ]

    def _gauge(self, indices: Sequence[int], aggregate: str, scale: Mapping[str, float]) -> Floats:
        rows = [
            latest(*self._samples.series(index), self._grid, self._window)
            * self._factor(index, scale)
            for index in indices
        ]
        return _fold(np.array(rows), aggregate)

    def _rate(self, indices: Sequence[int], aggregate: str, scale: Mapping[str, float]) -> Floats:
        rows = []
        for index in indices:
            total, seconds = self._increase(index)
            rows.append(total / seconds * self._factor(index, scale))
        return _fold(np.array(rows), aggregate)

    def _ratio(
        self, tops: Sequence[int], bottoms: Sequence[int], scale: Mapping[str, float]
    ) -> Floats:
        top, bottom = (
            _fold(
                np.array(
                    [self._increase(index)[0] * self._factor(index, scale) for index in indices]
                ),
                "sum",
            )
            for indices in (tops, bottoms)
        )
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

    def _quantile(
        self, indices: Sequence[int], quantile: float, scale: Mapping[str, float]
    ) -> Floats:
        """Return a quantile of what fell into a histogram's buckets within the window."""
        by_bound: defaultdict[float, list[Floats]] = defaultdict(list)
        for index in indices:
            bound = float(self._samples.labels[index]["le"])
            by_bound[bound * self._factor(index, scale)].append(self._increase(index)[0])
        bounds = sorted(by_bound)
        counts = np.array([_fold(np.array(by_bound[bound]), "sum") for bound in bounds])
        return bucket_quantile(np.array(bounds), counts, quantile)

    def _factor(self, index: int, scale: Mapping[str, float]) -> float:
        return scale.get(self._samples.names[index], 1.0)

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
