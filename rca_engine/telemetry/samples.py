# SPDX-License-Identifier: Apache-2.0
"""Raw samples as scraped, packed: one array for all series, each series a slice of it."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Raw samples of ``n`` series.

    Parameters
    ----------
    names, labels
        Name and labels of each series, in order of (name, labels as sorted JSON).
    offsets
        Shape (n + 1,): series ``i`` holds the samples ``offsets[i]:offsets[i + 1]``.
    times_ns, readings
        Shape (samples,): scrape times, ascending within a series, and what was scraped.
    """

    names: tuple[str, ...]
    labels: tuple[Mapping[str, str], ...]
    offsets: Ints
    times_ns: Ints
    readings: Floats

    @classmethod
    def pack(cls, points: Mapping[tuple[str, str], Mapping[int, float]]) -> Samples:
        """Pack ``(name, labels as JSON) -> {time_ns: value}``."""
        return cls.join(
            (key, np.array(list(row), np.int64), np.array(list(row.values()), np.float64))
            for key, row in points.items()
        )

    @classmethod
    def join(cls, pieces: Iterable[tuple[tuple[str, str], Ints, Floats]]) -> Samples:
        """Join pieces of series: ``((name, labels as JSON), times in ns, values)``.

        A series may come in several pieces, in any order; a sample that comes twice counts once.
        """
        parts: defaultdict[tuple[str, str], list[tuple[Ints, Floats]]] = defaultdict(list)
        for key, times_ns, values in pieces:
            parts[key].append((times_ns, values))
        keys = sorted(parts)
        columns = [_joined(parts.pop(key)) for key in keys]
        return cls(
            names=tuple(name for name, _ in keys),
            labels=tuple(json.loads(labels) for _, labels in keys),
            offsets=np.cumsum([0, *(times.size for times, _ in columns)], dtype=np.int64),
            times_ns=np.concatenate([np.empty(0, np.int64), *(times for times, _ in columns)]),
            readings=np.concatenate([np.empty(0), *(values for _, values in columns)]),
        )

    @functools.cached_property
    def by_name(self) -> Mapping[str, list[int]]:
        """Indices of the series of each name."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(self.names):
            found[name].append(index)
        return dict(found)

    def __len__(self) -> int:
        return len(self.names)

    def series(self, index: int) -> tuple[Ints, Floats]:
        """Return times (ns) and values of one series."""
        part = slice(self.offsets[index], self.offsets[index + 1])
        return self.times_ns[part], self.readings[part]

    def component(self, index: int) -> str | None:
        """Return the component that the series was scraped for, None where it has none."""
        return self.labels[index].get("component")

    def tables(self) -> tuple[dict[str, npt.NDArray[Any]], pd.DataFrame]:
        """Return the case's ``samples`` and ``series`` tables."""
        identity = np.arange(len(self), dtype=np.int32)
        samples = {
            "timestamp": self.times_ns.astype("datetime64[ns]"),
            "series": np.repeat(identity, np.diff(self.offsets)),
            "value": self.readings,
        }
        series = pd.DataFrame(
            {
                "series": identity,
                "name": list(self.names),
                "labels": [label_key(labels) for labels in self.labels],
            }
        )
        return samples, series


def _joined(pieces: list[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    times_ns = np.concatenate([times for times, _ in pieces])
    values = np.concatenate([values for _, values in pieces])
    if times_ns.size > 1 and not (np.diff(times_ns) > 0).all():
        times_ns, first = np.unique(times_ns, return_index=True)
        values = values[first]
    return times_ns, values


def label_key(labels: Mapping[str, str]) -> str:
    """Write labels as JSON with sorted keys: equal labels give equal text."""
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)
