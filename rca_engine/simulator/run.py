# SPDX-License-Identifier: Apache-2.0
"""From a fault and a seed to a case of format 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rca_engine.errors import CaseError
from rca_engine.model import NS, Component, Edge, Topology, Window
from rca_engine.simulator import records
from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.exporters import (
    scrape_gpus,
    scrape_links,
    scrape_nodes,
    scrape_pods,
    scrape_service,
)
from rca_engine.simulator.faults import Draft, Fault, find
from rca_engine.simulator.scraping import Scraper
from rca_engine.simulator.serving import scrape_serving
from rca_engine.simulator.spec import (
    FRONT_LINK,
    GATEWAY,
    GPU_EXPORTER,
    HEAD,
    POD_EXPORTER,
    SERVICE,
    START_NS,
    ClusterSpec,
    LoadSpec,
    Timing,
)
from rca_engine.simulator.truth import ground_truth
from rca_engine.simulator.workload import base_load
from rca_engine.telemetry.client import CLIENT
from rca_engine.telemetry.harvest import Extras, Harvest, build, requests_table
from rca_engine.telemetry.prometheus import Fetched
from rca_engine.telemetry.samples import Samples
from rcalab_common.files import write_json, write_text

_NOTE = "Synthetic: no engine, no cluster and no fault was real."


def simulate(
    run_dir: Path | str,
    *,
    seed: int = 0,
    sham: bool = False,
    fault: str = "F01",
    target: str | None = None,
    parameters: Mapping[str, float] | None = None,
    replicas: int | None = None,
    cluster: ClusterSpec | None = None,
    load: LoadSpec | None = None,
    timing: Timing | None = None,
) -> Path:
    """Simulate a run with one fault and write it as a case of format 1.

    Parameters
    ----------
    run_dir
        Made if absent.
    seed
        Everything follows from it.
    sham
        Go through the fault window without a dose.
    fault
        Id of the fault; :func:`rca_engine.simulator.faults.faults` lists them.
    target
        Component that it hits; the fault's default if None.
    parameters
        Values that replace the fault's defaults.
    replicas
        How many, in place of the cluster's.
    cluster, load, timing
        What is simulated; the defaults if None.

    Returns
    -------
    Path
        The case's directory.

    Raises
    ------
    CaseError
        If the directory holds something else, or there is no such fault, target or parameter.
    """
    root, chosen = _directory(run_dir), find(fault)
    spec = cluster or ClusterSpec()
    spec = chosen.cluster(spec if replicas is None else replace(spec, replicas=replicas))
    load, timing = load or LoadSpec(), timing or Timing()
    injected = chosen(spec, target, parameters)
    sham = sham or chosen.sham
    rng = np.random.default_rng(seed)
    played = _play(spec, load, timing, injected, rng, sham=sham)
    lines = [json.dumps(record) for record in records.request_records(played)]
    write_text(root / "load" / "requests.jsonl", "\n".join(lines) + "\n")
    write_json(root / "ground_truth.json", ground_truth(injected, timing, sham=sham))
    pods = [
        {"name": component.split("/")[1], "component": component}
        for component in (GATEWAY, HEAD, *spec.replica_ids())
    ]
    build(
        Harvest(
            run_dir=root,
            prometheus_url="simulated",
            pods_file=root / "pods.json",
            slo=load.slo,
            scrape_interval_s=timing.scrape_interval_s,
            run_id=f"simulated-{seed}",
            experiment="simulated",
            scenario="sham" if sham else injected.name,
            seed=seed,
            engine="simulated",
            notes=[_NOTE],
        ),
        Window(START_NS, START_NS + round(timing.length_s * NS)),
        {"isolation": "netns", "pods": pods},
        Fetched(_scrape(played, rng), (), ()),
        records.logs(played),
        requests_table(root / "load" / "requests.jsonl"),
        Extras(
            topology=topology(spec),
            tables={"traces": records.spans(played), "events": records.events(played)},
        ),
    )
    return root


def _directory(run_dir: Path | str) -> Path:
    root = Path(run_dir)
    if root.exists() and not root.is_dir():
        raise CaseError(f"{root}: is a file; name a directory for the case")
    if root.is_dir() and any(root.iterdir()) and not (root / "case.json").exists():
        raise CaseError(f"{root}: is not empty and holds no case; name another directory")
    return root


def _play(
    spec: ClusterSpec,
    load_spec: LoadSpec,
    timing: Timing,
    fault: Fault,
    rng: np.random.Generator,
    *,
    sham: bool,
) -> Cluster:
    load = base_load(rng, load_spec, spec.replicas, timing)
    if not sham:
        rate = load_spec.rate * spec.replicas
        load = fault.shape(Draft(load, load_spec, rate, timing.fault_s, rng))
    cluster = Cluster(spec, load_spec, load, timing, rng)
    if not sham:
        start, end = timing.fault_s
        cluster.at(start, partial(fault.begin, cluster))
        cluster.at(end, partial(fault.end, cluster))
    cluster.run()
    return cluster


def _scrape(cluster: Cluster, rng: np.random.Generator) -> Samples:
    scraper = Scraper(rng, cluster.timing)
    scrape_pods(cluster, scraper)
    scrape_serving(cluster, scraper)
    scrape_nodes(cluster, scraper, rng)
    scrape_gpus(cluster, scraper, rng)
    scrape_links(cluster, scraper, rng)
    scrape_service(cluster, scraper)
    return scraper.samples()


def topology(spec: ClusterSpec) -> Topology:
    """Return the cluster's components and edges."""
    numbers = range(spec.replicas)
    first, links = spec.node_ids()[0], [FRONT_LINK, *map(spec.link_of, numbers)]
    gpus = [(number, gpu) for number in numbers for gpu in spec.gpus_of(number)]
    named = (
        CLIENT, GATEWAY, HEAD, SERVICE, POD_EXPORTER, GPU_EXPORTER, "telemetry/prometheus",
        *spec.replica_ids(), *spec.node_ids(), *links, *(gpu for _, gpu in gpus),
    )  # fmt: skip
    edges = [
        Edge(CLIENT, GATEWAY, "calls"),
        Edge(GATEWAY, HEAD, "calls"),
        *(Edge(pod, first, "runs_on") for pod in (GATEWAY, HEAD)),
        Edge(HEAD, FRONT_LINK, "runs_on"),
        *(Edge(spec.replica_ids()[number], gpu, "runs_on") for number, gpu in gpus),
        *(Edge(gpu, spec.node_of(number), "part_of") for number, gpu in gpus),
    ]
    for number, replica in enumerate(spec.replica_ids()):
        edges += [
            Edge(HEAD, replica, "calls"),
            Edge(replica, spec.node_of(number), "runs_on"),
            Edge(replica, spec.link_of(number), "runs_on"),
            Edge(replica, SERVICE, "part_of"),
        ]
    components = (each.split("/", 1) for each in sorted(named))
    return Topology(tuple(Component(kind, name) for kind, name in components), tuple(edges))
