# SPDX-License-Identifier: Apache-2.0
"""What pods and nodes, GPUs, links and the service show when they are scraped.

Series have the names that the lab's own exporters give them, so that the harvest's code and
vocabulary make the metrics from them as from a real run's.
"""

from __future__ import annotations

import numpy as np

from rca_engine.simulator import devices
from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.counters import grown, so_far
from rca_engine.simulator.network import BASE_RTT_S, Link
from rca_engine.simulator.replica import Replica
from rca_engine.simulator.scraping import Mask, Scraper
from rca_engine.simulator.spec import GATEWAY, GPU_EXPORTER, HEAD, POD_EXPORTER, SERVICE
from rca_engine.telemetry.samples import Floats

_AGENT_CORES = 0.03
"""What a pod's processes other than the engine use."""
_FRONT_CORES = {GATEWAY: (0.02, 0.002), HEAD: (0.10, 0.012)}
"""Cores that a front pod uses when idle, and more for each request a second."""
_ENGINE_BYTES, _POD_LIMIT_BYTES = 6.0e9, 16.0e9
_WEIGHTS_MIB, _CACHE_MIB = 16_000.0, 50_000.0


def scrape_pods(cluster: Cluster, scraper: Scraper) -> None:
    """Scrape the pod exporter, which sits outside the pods and serves all of them."""
    for replica in cluster.replicas:
        _replica_pod(cluster, scraper, replica)
    for component in (GATEWAY, HEAD):
        _front_pod(cluster, scraper, component)
    scraper.answers("exporter", POD_EXPORTER, _exports(cluster, scraper, POD_EXPORTER))
    scraper.finish("exporter", POD_EXPORTER)


def scrape_nodes(cluster: Cluster, scraper: Scraper, rng: np.random.Generator) -> None:
    """Scrape each node's exporter."""
    for name in cluster.nodes:
        _node(cluster, scraper, rng, name)
        scraper.finish("node", name)


def _node(cluster: Cluster, scraper: Scraper, rng: np.random.Generator, name: str) -> None:
    node, replicas, times = cluster.nodes[name], cluster.on_node(name), scraper.times("node", name)
    step, nothing = times[1] - times[0], np.zeros(times.size)
    crowd = node.neighbour_cores.at(times)

    def spent(counter: str) -> Floats:
        parts = (grown(each.engine.log.counter(counter, times)) for each in replicas)
        cores: Floats = sum(parts, nothing) / step
        return cores

    def add(series: str, values: Floats, **labels: str) -> None:
        scraper.add(series, "node", name, values, **labels)

    used = spent("cpu_s") + rng.normal(0.6, 0.05, times.size).clip(0.1)
    used = np.minimum(used + crowd, node.cores * 0.99)
    for mode, cores in (("idle", node.cores - used), ("user", used)):
        add("node_cpu_seconds_total", np.cumsum(cores * step), cpu="0", mode=mode)
    # Tasks that wait at once count once: pressure is a share of time.
    pressure = (spent("cpu_waited_s") + rng.normal(0.02, 0.004, times.size).clip(0)).clip(0, 1)
    pressure = np.where(crowd > 0, np.maximum(pressure, 0.7), pressure)
    add("node_pressure_cpu_waiting_seconds_total", np.cumsum(pressure * step))
    add("node_load1", _smoothed(used + 2 * crowd, step) + rng.normal(0, 0.05, times.size))
    taken = sum((each.ballast_bytes.at(times) for each in replicas), nothing)
    add("node_memory_MemAvailable_bytes", 6.0e10 - taken + rng.normal(0, 1e7, times.size))
    again = (so_far(times, link.retransmits) for link in _links_of(cluster, name))
    add("node_netstat_Tcp_RetransSegs", sum(again, nothing + 17.0))
    drift = rng.normal(0, 0.0004, times.size)
    add("node_timex_offset_seconds", node.clock_offset_s.at(times) + drift)


def scrape_gpus(cluster: Cluster, scraper: Scraper, rng: np.random.Generator) -> None:
    """Scrape the DCGM exporter, one for all GPUs."""
    for name, gpu in cluster.gpus.items():
        times = scraper.times("dcgm", name)
        scraper.answers("dcgm", name, _exports(cluster, scraper, GPU_EXPORTER, times))
        for series, values in _gpu(cluster, gpu, times, rng).items():
            scraper.add(f"DCGM_FI_DEV_{series}", "dcgm", name, values)
    scraper.answers("exporter", GPU_EXPORTER, _exports(cluster, scraper, GPU_EXPORTER))
    scraper.finish("exporter", GPU_EXPORTER)


def _gpu(
    cluster: Cluster, gpu: devices.Gpu, times: Floats, rng: np.random.Generator
) -> dict[str, Floats]:
    replica, step = cluster.replicas[gpu.replica], times[1] - times[0]
    log, limit, intruder = replica.engine.log, gpu.power_limit_w.at(times), gpu.intruder.at(times)
    busy = (grown(log.counter("gpu_s", times)) / step).clip(0, 1)
    prefill = np.minimum(grown(log.counter("prefill_gpu_s", times)) / step, busy)
    # A rank that waits for another spins: busy to look at, but with little power.
    held_up = 1 - replica.engine.speed.rank.at(times)
    spinning = np.where(gpu.stopped.at(times) > 0, 0.0, held_up) * (1 - busy)
    clock = _clock(gpu, times, prefill / np.maximum(busy, 1e-9))
    decode = (busy - prefill) * (1 - intruder)
    power = devices.power_w(prefill, decode, intruder, clock) + spinning * devices.SPINNING_W
    power = np.minimum(power, limit) + rng.normal(0, 2.0, times.size)
    capped = (limit < devices.LIMIT_W) & (prefill > 0)
    reasons = np.where(gpu.clock.at(times) < 1, devices.APPLICATION_CLOCKS, devices.NO_EVENT)
    engine_mib = replica.alive.at(times) * (_WEIGHTS_MIB + _CACHE_MIB)
    held = (600.0 + engine_mib + gpu.ballast_mib.at(times)).clip(max=devices.FRAMEBUFFER_MIB)
    heat = devices.temperature_c(power, float(step)) + gpu.false_heat_c.at(times)
    utilisation = np.where(intruder > 0, 1.0, busy + spinning).clip(0, 1)
    return {
        "GPU_UTIL": np.round(100 * utilisation),
        "SM_CLOCK": devices.BOOST_MHZ * clock + rng.normal(0, 3.0, times.size),
        "POWER_USAGE": power,
        "GPU_TEMP": np.round(heat),
        "FB_USED": held,
        "ENFORCED_POWER_LIMIT": limit,
        "CLOCKS_EVENT_REASONS": reasons + capped * devices.SW_POWER_CAP,
        "XID_ERRORS": gpu.xid.at(times),
    }


def scrape_links(cluster: Cluster, scraper: Scraper, rng: np.random.Generator) -> None:
    """Scrape the prober of the links: round trips, what was sent, and what was sent again."""
    for link in (cluster.front, *(replica.link for replica in cluster.replicas)):
        times = scraper.times("link", link.id)
        up = link.up.at(times)
        rtt = 2 * link.delay_s.at(times) + rng.exponential(BASE_RTT_S / 4, times.size)
        sent_at = np.array([time for time, _ in link.messages])
        sizes = np.array([size for _, size in link.messages])
        scraper.add("link_rtt_seconds", "link", link.id, np.where(up > 0, rtt, np.nan))
        scraper.add("link_probe_success", "link", link.id, up)
        scraper.add("link_transmit_bytes_total", "link", link.id, so_far(times, sent_at, sizes))
        again = so_far(times, link.retransmits)
        scraper.add("link_tcp_retransmits_total", "link", link.id, again)


def scrape_service(cluster: Cluster, scraper: Scraper) -> None:
    """Scrape what the control plane says of the service as a whole."""
    times = scraper.times("kube", SERVICE)
    healthy = sum(
        (each.alive.at(times) * each.listed.at(times) for each in cluster.replicas),
        np.zeros(times.size),
    )
    scraper.add("ray_serve_deployment_replica_healthy", "kube", SERVICE, healthy)
    scraper.add("kube_deployment_spec_replicas", "kube", SERVICE, cluster.desired.at(times))
    generation = cluster.generation.at(times)
    scraper.add("kube_deployment_metadata_generation", "kube", SERVICE, generation)
    for replica in cluster.replicas:
        times = scraper.times("kube", replica.id)
        for series, moments in (
            ("kube_pod_container_status_restarts_total", replica.restarts),
            ("container_oom_events_total", replica.oom_kills),
        ):
            scraper.add(series, "kube", replica.id, so_far(times, moments))


def _replica_pod(cluster: Cluster, scraper: Scraper, replica: Replica) -> None:
    times = scraper.times("pod", replica.id)
    step, rng, log = times[1] - times[0], cluster.rng, replica.engine.log
    idle = rng.normal(_AGENT_CORES, 0.004, times.size).clip(0.005) * step
    up = replica.alive.at(times)
    held = up * _ENGINE_BYTES + replica.ballast_bytes.at(times) + rng.normal(0, 2e6, times.size)

    def add(series: str, values: Floats) -> None:
        scraper.add(series, "pod", replica.id, values, pod=replica.id.split("/")[1])

    scraper.answers("pod", replica.id, _exports(cluster, scraper, POD_EXPORTER, times))
    add("container_cpu_usage_seconds_total", log.counter("cpu_s", times) + np.cumsum(idle))
    periods = np.floor(log.counter("throttled_periods", times))
    add("container_cpu_cfs_throttled_periods_total", periods)
    add("container_cpu_cfs_throttled_seconds_total", log.counter("throttled_s", times))
    add("container_memory_working_set_bytes", held.clip(1e8, _POD_LIMIT_BYTES))
    stalled = replica.memory_stall.at(times) * step
    add("container_pressure_memory_waiting_seconds_total", np.cumsum(stalled))
    add("container_processes", np.where(up > 0, 14.0, 3.0))
    received = 4.0 * log.counter("prompt_tokens", times)
    sent = 180.0 * log.counter("generation_tokens", times)
    chatter = np.cumsum(rng.normal(20_000, 2_000, times.size).clip(0) * step)
    add("container_network_receive_bytes_total", received + chatter)
    add("container_network_transmit_bytes_total", sent + chatter)


def _front_pod(cluster: Cluster, scraper: Scraper, component: str) -> None:
    times = scraper.times("pod", component)
    step, rng = times[1] - times[0], cluster.rng
    handled = [each.at_head for each in cluster.requests if np.isfinite(each.at_head)]
    requests = grown(so_far(times, handled))
    idle, each = _FRONT_CORES[component]
    cores = rng.normal(idle, idle / 10, times.size).clip(idle / 3) + each * requests / step

    def add(series: str, values: Floats) -> None:
        scraper.add(series, "pod", component, values, pod=component.split("/")[1])

    scraper.answers("pod", component, _exports(cluster, scraper, POD_EXPORTER, times))
    add("container_cpu_usage_seconds_total", np.cumsum(cores * step))
    add("container_cpu_cfs_throttled_periods_total", np.zeros(times.size))
    add("container_cpu_cfs_throttled_seconds_total", np.zeros(times.size))
    add("container_memory_working_set_bytes", 1.5e9 + rng.normal(0, 2e6, times.size))
    add("container_pressure_memory_waiting_seconds_total", np.zeros(times.size))
    add("container_processes", np.full(times.size, 12.0))
    for way in ("receive", "transmit"):
        sent = rng.normal(20_000, 2_000, times.size).clip(0) * step + 7_000 * requests
        add(f"container_network_{way}_bytes_total", np.cumsum(sent))


def _clock(gpu: devices.Gpu, times: Floats, prefill_share: Floats) -> Floats:
    """Return the share of the boost clock: what it is locked at, less what a power limit takes."""
    limits = gpu.power_limit_w.at(times)
    kept = {
        limit: devices.capped_speed(limit, devices.PREFILL_W)
        for limit in np.unique(limits).tolist()
    }
    capped = np.array([kept[limit] for limit in limits.tolist()])
    clock: Floats = gpu.clock.at(times) * (1 - prefill_share * (1 - capped))
    return clock


def _exports(
    cluster: Cluster, scraper: Scraper, exporter: str, times: Floats | None = None
) -> Mask:
    asked = scraper.times("exporter", exporter) if times is None else times
    answered: Mask = cluster.exporters[exporter].at(asked) > 0
    return answered


def _links_of(cluster: Cluster, node: str) -> list[Link]:
    """Return the links whose sender is on a node: the head's, which is on the first node."""
    first = next(iter(cluster.nodes))
    return [replica.link for replica in cluster.replicas] if node == first else []


def _smoothed(values: Floats, step_s: float) -> Floats:
    """Return a load average over a minute."""
    keep, load, smooth = np.exp(-step_s / 60.0), float(values[0]), []
    for each in values.tolist():
        load = keep * load + (1 - keep) * each
        smooth.append(load)
    return np.array(smooth)
