# SPDX-License-Identifier: Apache-2.0
"""One run's telemetry becomes a case, in the run's own directory."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rca_engine import schemas
from rca_engine.case import CaseWriter, read_requests, read_truth
from rca_engine.errors import CaseError, TelemetryError
from rca_engine.model import NS, CaseInfo, Component, Edge, GroundTruth, Topology, Window
from rca_engine.schemas.tables import TABLES
from rca_engine.telemetry.client import CLIENT, alert, client_metrics
from rca_engine.telemetry.completeness import completeness
from rca_engine.telemetry.derive import PARTS, RATE_WINDOW_S, Derived, derive
from rca_engine.telemetry.logs import Logs, LogSource, read_logs
from rca_engine.telemetry.prometheus import Fetched, Selection, fetch
from rca_engine.telemetry.samples import Floats, Ints, Samples
from rcalab_common.slo import Slo
from rcalab_common.times import parse_utc


@dataclass(frozen=True)
class Harvest:
    """What to harvest, and what the case says of the run.

    Parameters
    ----------
    run_dir
        The run's directory: holds ``load/requests.jsonl`` and, where a fault was injected,
        ``ground_truth.json``.
    prometheus_url
        Base URL of the server that scraped the lab.
    pods_file
        ``pods.json`` of the lab.
    window
        What to harvest; from the first intended time of a request to the last end if None.
    slo
        The client's objective.
    logs
        Log files to read.
    step_s, scrape_interval_s
        Step of the derived metrics, and what the targets are scraped at.
    """

    run_dir: Path
    prometheus_url: str
    pods_file: Path
    window: Window | None = None
    slo: Slo = field(default_factory=Slo)
    logs: Sequence[LogSource] = ()
    step_s: float = 1.0
    scrape_interval_s: float = 1.0
    run_id: str = ""
    experiment: str = ""
    scenario: str = ""
    run: int = 1
    seed: int = 0
    platform: str = "host"
    engine: str = "vllm"
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    deadline_s: float = 120.0


@dataclass(frozen=True)
class Extras:
    """What a case holds that Prometheus, the records and the log files do not tell.

    Parameters
    ----------
    topology
        Drawn from the pods and what was scraped if None.
    tables
        Further tables of the case by name, such as ``traces`` and ``events``.
    """

    topology: Topology | None = None
    tables: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)


_NO_EXTRAS = Extras()


def parse_window(start: str | None, end: str | None) -> Window | None:
    """Read a window given as two RFC 3339 times; None where neither is given.

    Raises
    ------
    CaseError
        If only one is given, or one is no time.
    """
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise CaseError("give both ends of the window, or neither for that of the load")
    try:
        return Window(parse_utc(start), parse_utc(end))
    except ValueError as error:
        raise CaseError(f"window: {error}") from None


def parse_log_source(text: str) -> LogSource:
    """Read a log source given as ``COMPONENT:STREAM:PATH``.

    Raises
    ------
    CaseError
        If it has not that form.
    """
    component, _, rest = text.partition(":")
    stream, _, path = rest.partition(":")
    if "/" not in component or not stream or not path:
        raise CaseError(f"a log source has the form COMPONENT:STREAM:PATH, got {text!r}")
    return LogSource(component, stream, Path(path))


def harvest(plan: Harvest) -> Path:
    """Write the case of a run into its directory, whole or not at all.

    Returns
    -------
    Path
        ``plan.run_dir``, now a case.

    Raises
    ------
    CaseError
        If the run's own files (records, truth, pods) are absent or broken.
    TelemetryError
        If a source can't be reached or has nothing for a required metric.
    """
    metrics = vocabulary(plan.platform)["metrics"]
    pods = _read_pods(plan.pods_file)
    requests = requests_table(plan.run_dir / "load" / "requests.jsonl")
    window = plan.window or _load_window(requests)
    fetched = _fetch(plan, metrics, window)
    build(plan, window, pods, fetched, read_logs(plan.logs, window), requests)
    return plan.run_dir


def vocabulary(platform: str) -> dict[str, Any]:
    """Return the vocabulary of metrics, without what only another platform has."""
    words = schemas.load("metrics")
    metrics = {
        name: entry
        for name, entry in words["metrics"].items()
        if entry.get("platform", platform) == platform
    }
    return {**words, "metrics": metrics}


def build(
    plan: Harvest,
    window: Window,
    pods: Mapping[str, Any],
    fetched: Fetched,
    logs: Logs,
    requests: pd.DataFrame,
    extras: Extras = _NO_EXTRAS,
) -> None:
    """Make the case of what was gathered.

    Raises
    ------
    CaseError
        If the run's ground truth is broken.
    TelemetryError
        If a required metric has no samples.
    """
    words = vocabulary(plan.platform)
    truth = read_truth(plan.run_dir / "ground_truth.json")
    topology = extras.topology or _topology(pods["pods"], fetched.samples)
    coverage = completeness(
        fetched.samples,
        words["metrics"],
        topology,
        window,
        interval_s=plan.scrape_interval_s,
        isolation=pods["isolation"],
        engine=plan.engine,
        platform=plan.platform,
        truth=truth,
    )
    grid_ns = np.arange(window.start_ns, window.end_ns + 1, round(plan.step_s * NS), dtype=np.int64)
    derived = derive(fetched.samples, words["metrics"], grid_ns)
    client = client_metrics(requests, plan.slo, grid_ns)
    with CaseWriter(plan.run_dir) as writer:
        samples, series = fetched.samples.tables()
        writer.write_table("samples", samples)
        writer.write_table("series", series)
        writer.write_table("metrics", _metrics_table(grid_ns, derived, client))
        writer.write_table("logs", logs.columns)
        writer.write_table("requests", requests)
        for name, columns in extras.tables.items():
            writer.write_table(name, columns)
        writer.write(
            _info(plan, window, requests, truth),
            topology,
            {**words, "metrics": _used(words["metrics"], derived)},
            {"sources": _sources(fetched, logs, requests), "completeness": coverage},
        )


def _metrics_table(
    grid_ns: Ints, derived: Derived, client: Mapping[str, Floats]
) -> dict[str, list[Any] | np.ndarray[Any, Any]]:
    """Return the ``metrics`` table: one row for each value that is known."""
    keys = [*derived.keys, *((CLIENT, metric) for metric in client)]
    values = np.column_stack([derived.matrix, *client.values()])
    series, steps = np.nonzero(np.isfinite(values.T))
    return {
        "timestamp": grid_ns[steps].astype("datetime64[ns]"),
        "component": [keys[index][0] for index in series],
        "metric": [keys[index][1] for index in series],
        "value": values[steps, series],
    }


def _read_pods(path: Path) -> dict[str, Any]:
    pods = schemas.read_json(path)
    if pods.get("format") != 1 or pods.get("isolation") not in ("netns", "none"):
        raise CaseError(f"{path}: not a pods.json of format 1")
    listed = pods.get("pods")
    if not isinstance(listed, list) or not all(
        isinstance(pod, dict)
        and "/" in str(pod.get("component"))
        and isinstance(pod.get("name"), str)
        for pod in listed
    ):
        raise CaseError(f"{path}: each pod needs a `name` and a `component` of the form kind/name")
    return pods


def requests_table(path: Path) -> pd.DataFrame:
    """Read ``requests.jsonl`` as the ``requests`` table.

    Raises
    ------
    CaseError
        If it is absent, empty, or its records do not fit the format.
    """
    schema = TABLES["requests"]
    try:
        table = pa.Table.from_pylist(list(read_requests(path)), schema=schema)
        table.validate(full=True)
    except (pa.ArrowException, TypeError) as error:
        raise CaseError(f"{path}: records do not fit the format: {error}") from None
    if any(table.column(each.name).null_count for each in schema if not each.nullable):
        raise CaseError(f"{path}: records lack a field that each must have")
    if table.num_rows == 0:
        raise CaseError(f"{path}: no request records; run the load first")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _load_window(requests: pd.DataFrame) -> Window:
    return Window(int(requests["scheduled_ns"].min()), int(requests["end_ns"].max()))


def _fetch(plan: Harvest, metrics: Mapping[str, Mapping[str, Any]], window: Window) -> Fetched:
    names: defaultdict[str | None, set[str]] = defaultdict(set)
    for entry in metrics.values():
        source = entry["source"]
        for part in PARTS:
            names[source.get("job")].update(source.get(part, ()))
    selections = [
        Selection(job, tuple(sorted(wanted)))
        for job, wanted in sorted(names.items(), key=lambda item: item[0] or "")
        if wanted
    ]
    # Rates at the window's start need what was scraped before it.
    before = Window(window.start_ns - round(RATE_WINDOW_S * NS), window.end_ns)
    fetched = fetch(plan.prometheus_url, selections, before, deadline_s=plan.deadline_s)
    if not len(fetched.samples):
        raise TelemetryError(
            f"{plan.prometheus_url}: Prometheus has no samples for the window; was the lab up "
            f"then, and does it scrape jobs {', '.join(sorted(job for job in names if job))}?"
        )
    return fetched


def _topology(pods: Sequence[Mapping[str, Any]], samples: Samples) -> Topology:
    """Draw the lab: the call path, and everything on the one machine that Prometheus saw."""
    components = {pod["component"]: {"pod": pod["name"]} for pod in pods}
    seen = {samples.component(index) for index in range(len(samples))} - {None}
    for each in sorted(str(component) for component in seen):
        components.setdefault(each, {})
    components |= {CLIENT: {}, "service/llm": {}}

    def of(kind: str) -> list[str]:
        return sorted(each for each in components if each.split("/", 1)[0] == kind)

    path = (("client", "gateway"), ("gateway", "head"), ("head", "replica"))
    calls = [
        Edge(caller, callee, "calls")
        for kinds in path
        for caller in of(kinds[0])
        for callee in of(kinds[1])
    ]
    nodes = of("node")
    hosted = [pod["component"] for pod in pods] if len(nodes) == 1 else []
    return Topology(
        tuple(
            Component(kind, name, components[each])
            for each in sorted(components)
            for kind, name in [each.split("/", 1)]
        ),
        (
            *calls,
            *(Edge(pod, nodes[0], "runs_on") for pod in hosted),
            *(Edge(replica, "service/llm", "part_of") for replica in of("replica")),
        ),
    )


def _used(metrics: Mapping[str, dict[str, Any]], derived: Derived) -> dict[str, dict[str, Any]]:
    """Return the metrics that were made, each with the names of series that it was made from."""
    used = {}
    for name, entry in metrics.items():
        source = entry["source"]
        if "records" in source:
            used[name] = entry
        elif name in derived.used:
            used[name] = {**entry, "source": {**source, **derived.used[name]}}
    return used


def _info(
    plan: Harvest, window: Window, requests: pd.DataFrame, truth: GroundTruth | None
) -> CaseInfo:
    offsets = {} if truth is None else truth.record.get("clock_offsets_ms", {})
    return CaseInfo(
        run_id=plan.run_id or plan.run_dir.name,
        experiment=plan.experiment,
        scenario=plan.scenario,
        run=plan.run,
        seed=plan.seed,
        window=window,
        step_s=plan.step_s,
        platform=plan.platform,
        engine=plan.engine,
        sources={
            "prometheus": {
                "url": plan.prometheus_url,
                "scrape_interval_s": plan.scrape_interval_s,
                "rate_window_s": RATE_WINDOW_S,
            },
            "logs": [
                {"component": each.component, "stream": each.stream, "path": str(each.path)}
                for each in plan.logs
            ],
        },
        versions={
            "rca_engine": metadata.version("rcalab-llm"),
            "python": platform.python_version(),
            **plan.versions,
        },
        slo=plan.slo,
        alert=alert(requests, plan.slo),
        clock_offsets_ms=offsets,
        notes=tuple(plan.notes),
    )


def _sources(fetched: Fetched, logs: Logs, requests: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        "prometheus": {
            "queries": list(fetched.queries),
            "rows": int(fetched.samples.readings.size),
            "warnings": list(fetched.warnings),
        },
        "requests": {"rows": len(requests), "warnings": []},
        "logs": {"rows": logs.rows, "warnings": list(logs.warnings)},
    }
