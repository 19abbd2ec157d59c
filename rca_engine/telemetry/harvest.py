# SPDX-License-Identifier: Apache-2.0
"""One run's telemetry becomes a case, in the run's own directory."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rca_engine import schemas
from rca_engine.case import CaseWriter, read_requests, read_truth
from rca_engine.errors import CaseError
from rca_engine.model import NS, CaseInfo, GroundTruth, Topology, Window
from rca_engine.schemas.tables import TABLES
from rca_engine.telemetry import cluster, host
from rca_engine.telemetry.client import CLIENT, alert, client_metrics
from rca_engine.telemetry.completeness import completeness
from rca_engine.telemetry.derive import Derived, derive, rate_window_s
from rca_engine.telemetry.http import Progress, silent
from rca_engine.telemetry.logs import Logs, LogSource, read_logs
from rca_engine.telemetry.prometheus import Fetched
from rca_engine.telemetry.samples import Floats, Ints
from rca_engine.telemetry.settings import Cluster
from rca_engine.telemetry.source import columns
from rcalab_common.slo import Slo
from rcalab_common.times import parse_utc


@dataclass(frozen=True)
class Harvest:
    """What to harvest, and what the case says of the run.

    A lab on one machine has ``prometheus_url`` and ``pods_file``, a cluster its own settings, which
    then also say ``platform``, ``engine``, ``step_s``, ``scrape_interval_s`` and ``deadline_s``.

    Parameters
    ----------
    run_dir
        The run's directory: holds ``load/requests.jsonl`` and, where a fault was injected,
        ``ground_truth.json``.
    prometheus_url
        Base URL of the server that scraped the lab.
    pods_file
        ``pods.json`` of the lab.
    cluster
        Where a cluster's telemetry is.
    window
        What to harvest; from the first intended time of a request to the last end if None.
    slo
        The client's objective.
    logs
        Log files to read.
    step_s, scrape_interval_s
        Step of the derived metrics, and what the targets are scraped at.
    intervals_s
        What the targets of a job are scraped at, where that differs.
    """

    run_dir: Path
    prometheus_url: str = ""
    pods_file: Path | None = None
    cluster: Cluster | None = None
    window: Window | None = None
    slo: Slo = field(default_factory=Slo)
    logs: Sequence[LogSource] = ()
    step_s: float = 1.0
    scrape_interval_s: float = 1.0
    intervals_s: Mapping[str, float] = field(default_factory=dict)
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
    sources
        Further sources by name, as the manifest tells of them.
    """

    topology: Topology | None = None
    tables: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


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


def harvest(plan: Harvest, progress: Progress = silent) -> Path:
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
    gather = _from_host if plan.cluster is None else _from_cluster
    gather(plan, progress)
    return plan.run_dir


def _from_host(plan: Harvest, progress: Progress) -> None:
    if plan.pods_file is None or not plan.prometheus_url:
        raise CaseError("say where the lab is: its Prometheus and its pods.json, or its settings")
    pods = host.read_pods(plan.pods_file)
    requests = _requests(plan)
    window = plan.window or _load_window(requests)
    fetched = host.fetch_samples(
        plan.prometheus_url,
        vocabulary(plan.platform)["metrics"],
        window,
        scrape_interval_s=plan.scrape_interval_s,
        deadline_s=plan.deadline_s,
        progress=progress,
    )
    build(plan, window, pods, fetched, read_logs(plan.logs, window), requests)


def _from_cluster(plan: Harvest, progress: Progress) -> None:
    settings = plan.cluster
    if settings is None:
        raise CaseError("no settings of a cluster")
    plan = replace(
        plan,
        prometheus_url=settings.prometheus.url,
        platform="kubernetes",
        engine=settings.engine,
        step_s=settings.step_s,
        scrape_interval_s=settings.scrape_interval_s,
        intervals_s=settings.intervals_s,
    )
    requests = _requests(plan)
    window = plan.window or _load_window(requests)
    found = cluster.gather(settings, vocabulary(plan.platform)["metrics"], window, progress)
    rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for each in found.gathered.values():
        rows[each.table] += each.rows
    files = read_logs(plan.logs, window)
    if files.rows:
        rows["logs"] += list(zip(*files.columns.values(), strict=True))
    logs = Logs(columns("logs", rows.pop("logs", [])), files.rows, files.warnings)
    extras = Extras(
        found.topology,
        {table: columns(table, each) for table, each in rows.items()},
        {name: each.manifest() for name, each in found.gathered.items()},
    )
    # What a pod's network and cgroup show is there on a cluster as with namespaces.
    build(plan, window, {"isolation": "netns", "pods": []}, found.fetched, logs, requests, extras)


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
    topology = extras.topology or host.topology_of(pods["pods"], fetched.samples)
    coverage = completeness(
        fetched.samples,
        words["metrics"],
        topology,
        window,
        interval_s=plan.scrape_interval_s,
        intervals_s=plan.intervals_s,
        isolation=pods["isolation"],
        engine=plan.engine,
        platform=plan.platform,
        truth=truth,
    )
    grid_ns = np.arange(window.start_ns, window.end_ns + 1, round(plan.step_s * NS), dtype=np.int64)
    derived = derive(
        fetched.samples,
        words["metrics"],
        grid_ns,
        window_s=rate_window_s(plan.scrape_interval_s),
        windows_s={job: rate_window_s(each) for job, each in plan.intervals_s.items()},
    )
    second = _second_load(plan.run_dir / "second_load" / "requests.jsonl", truth)
    client = client_metrics(requests, plan.slo, grid_ns, second=second)
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
            {
                "sources": {**_sources(fetched, logs, requests, second), **extras.sources},
                "completeness": coverage,
            },
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


def _requests(plan: Harvest) -> pd.DataFrame:
    return requests_table(plan.run_dir / "load" / "requests.jsonl")


def _second_load(path: Path, truth: GroundTruth | None) -> pd.DataFrame | None:
    """Read the records of a fault that was a second load; None where there was none.

    A request that nobody waited for has no count of its prompt's tokens: what the fault asked for
    stands in.
    """
    if truth is None or not path.exists() or path.stat().st_size == 0:
        return None
    requests = requests_table(path)
    asked = truth.record.get("dose", {}).get("intended", {}).get("prompt_tokens_mean")
    return requests if asked is None else requests.fillna({"prompt_tokens": asked})


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
                "rate_window_s": rate_window_s(plan.scrape_interval_s),
            },
            "logs": [
                {"component": each.component, "stream": each.stream, "path": str(each.path)}
                for each in plan.logs
            ],
            **({} if plan.cluster is None else cluster.addresses(plan.cluster)),
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


def _sources(
    fetched: Fetched, logs: Logs, requests: pd.DataFrame, second: pd.DataFrame | None
) -> dict[str, dict[str, Any]]:
    return {
        "prometheus": {
            "queries": list(fetched.queries),
            "rows": int(fetched.samples.readings.size),
            "warnings": list(fetched.warnings),
        },
        "requests": {"rows": len(requests), "warnings": []},
        **({} if second is None else {"second_load": {"rows": len(second), "warnings": []}}),
        "logs": {"rows": logs.rows, "warnings": list(logs.warnings)},
    }
