# SPDX-License-Identifier: Apache-2.0
"""How much of what should have been scraped was: by component and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from rca_engine.errors import TelemetryError
from rca_engine.model import NS, GroundTruth, Topology, Window
from rca_engine.telemetry.derive import PARTS, select
from rca_engine.telemetry.samples import Ints, Samples
from rcalab_common.times import format_utc

_GAP_INTERVALS = 3
_AFTERMATH_NS = 10 * NS
"""A pod whose fault was just reverted may need so long until it answers a scrape again."""
_SELF_SERVED = ("ray", "gateway")
"""Jobs whose targets live in the pods, and so share their faults."""


def completeness(
    samples: Samples,
    vocabulary: Mapping[str, Mapping[str, Any]],
    topology: Topology,
    window: Window,
    *,
    interval_s: float,
    intervals_s: Mapping[str, float] = MappingProxyType({}),
    isolation: str,
    engine: str,
    platform: str = "host",
    truth: GroundTruth | None,
) -> list[dict[str, Any]]:
    """Count expected and received samples and find gaps of more than three scrape intervals.

    A metric is expected of each component whose kind the vocabulary lists for it, unless the
    vocabulary asks for it with another isolation or engine only. A cluster need not have every
    kind, nor what the vocabulary lets a platform lack. A gap is
    ``expected`` where the component is a root cause, serves its metrics from within its own pod,
    and the gap lies in the fault window or its aftermath: it is evidence, not an error.

    Returns
    -------
    list of dict
        As ``manifest.json`` holds them, one entry a component and metric. Intermittent metrics must
        exist but are not counted: Ray shows an engine's gauges only while the engine steps.

    Raises
    ------
    TelemetryError
        If no component at all has a required metric; names each and the series looked for.
    """
    entries, absent = [], []
    for name, entry in vocabulary.items():
        if "records" in entry["source"] or not _asked_for(entry, isolation, engine):
            continue
        names, found = _series(samples, entry)
        components = {
            component.id
            for component in topology.components
            if component.kind in entry["components"]
        }
        required = (
            entry["required"]
            # A cluster's API says which kinds there are; on a host each has its exporter.
            and (platform == "host" or bool(components))
            and platform not in entry.get("optional_on", ())
        )
        if not found and not required:
            continue
        if not found:
            absent.append(f"{name} (from {' or '.join(_wanted(entry))})")
            continue
        if entry.get("intermittent", False):
            continue
        interval = intervals_s.get(entry["source"].get("job", ""), interval_s)
        # What only some components have, such as errors, is not expected of the others.
        expected_of = components | found.keys() if required else found.keys()
        for component in sorted(expected_of):
            times = _times(samples, found.get(component, ()), window)
            entries.append(
                _entry(component, name, entry, names, times, window, interval, truth)
                | {"required": required}
            )
    if absent:
        raise TelemetryError(
            f"no samples in the window for required metrics: {'; '.join(absent)}. Was the lab up "
            f"and loaded then, do its targets carry `component` and `job`, and is the clock right?"
        )
    return entries


def _asked_for(entry: Mapping[str, Any], isolation: str, engine: str) -> bool:
    """Say whether a lab of this isolation, with this engine, has the metric at all."""
    asked: bool = (
        entry.get("isolation", isolation) == isolation and entry.get("engine", engine) == engine
    )
    return asked


def _scraped_part(entry: Mapping[str, Any]) -> str:
    """Return the part whose samples are counted: of a mean it is the count."""
    parts = [part for part in PARTS if part in entry["source"]]
    return "count" if "count" in parts else parts[0]


def _wanted(entry: Mapping[str, Any]) -> list[str]:
    return list(entry["source"][_scraped_part(entry)])


def _series(
    samples: Samples, entry: Mapping[str, Any]
) -> tuple[list[str], Mapping[str, Sequence[int]]]:
    return select(samples, entry, _scraped_part(entry))


def _times(samples: Samples, indices: Sequence[int], window: Window) -> Ints:
    """Return when any of the series was scraped within the window."""
    if not indices:
        return np.empty(0, dtype=np.int64)
    times = np.unique(np.concatenate([samples.series(index)[0] for index in indices]))
    inside: Ints = times[(times >= window.start_ns) & (times <= window.end_ns)]
    return inside


def _entry(
    component: str,
    metric: str,
    entry: Mapping[str, Any],
    names: list[str],
    times: Ints,
    window: Window,
    interval_s: float,
    truth: GroundTruth | None,
) -> dict[str, Any]:
    expected = int(window.seconds / interval_s)
    explained = truth if entry["source"].get("job", "ray") in _SELF_SERVED else None
    return {
        "component": component,
        "metric": metric,
        "required": entry["required"],
        "series": names,
        "expected": expected,
        "received": int(times.size),
        "ratio": min(1.0, times.size / expected) if expected else 1.0,
        "gaps": [
            _gap(component, start, end, explained)
            for start, end in _gaps(times, window, interval_s)
        ],
    }


def _gaps(times: Ints, window: Window, interval_s: float) -> list[tuple[int, int]]:
    edges = np.concatenate([[window.start_ns], times, [window.end_ns]])
    # In whole intervals: a scrape some milliseconds late makes no gap out of three intervals.
    wide = np.flatnonzero(np.rint(np.diff(edges) / (interval_s * NS)) > _GAP_INTERVALS)
    return [(int(edges[index]), int(edges[index + 1])) for index in wide]


def _gap(component: str, start: int, end: int, truth: GroundTruth | None) -> dict[str, Any]:
    reason = None
    if truth is not None and component in truth.root_causes and truth.fault_window is not None:
        fault_start, fault_end = truth.fault_window
        if start >= fault_start - 2 * NS and (
            fault_end is None or end <= fault_end + _AFTERMATH_NS
        ):
            reason = f"{truth.fault} {truth.name} held back the pod that serves these metrics"
    return {
        "start": format_utc(start),
        "end": format_utc(end),
        "seconds": (end - start) / NS,
        "expected": reason is not None,
        "reason": reason,
    }
