# SPDX-License-Identifier: Apache-2.0
"""What the API server passes on: the kubelet's counts, and what a pod answers over HTTP.

No container runs, so the numbers are made up; but what an injected experiment of Chaos Mesh does to
them is played: CPU time and memory of a StressChaos, delay, rate and silence of a NetworkChaos, the
clock of a TimeChaos. Other effects are not, nor are those on other pods.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from . import clock, errors
from .cluster import Cluster
from .errors import ApiError
from .nodes import quantity
from .storage import Object

_PATH = re.compile(
    r"/api/v1/(?:nodes/(?P<node>[^/:]+)|namespaces/(?P<namespace>[^/]+)/pods/(?P<pod>[^/:]+):\d+)"
    r"/proxy/(?P<page>.+)"
)
_IDLE_CORES, _IDLE_BYTES, _FREE_BYTES = 0.25, 1 << 30, 64 << 30
_PAGE = b"# TYPE up gauge\nup 1\n" * 3000
_RATE = re.compile(r"(\d+)kbit")
# No packet comes back: the API server gives up.
_SILENCE_S = 0.2


@dataclass(frozen=True)
class Passed:
    """An answer that is passed on, after some seconds."""

    status: int
    media_type: str
    content: bytes
    date: str
    delay_s: float = 0.0


def answer(cluster: Cluster, path: str) -> Passed | None:
    """Answer a request to something behind the API server; None where the path leads to none.

    Raises
    ------
    ApiError
        If there is no such thing, or it does not answer.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    now = formatdate(time.time(), usegmt=True)
    if match["node"]:
        if match["page"] != "stats/summary":
            raise ApiError(501, f"this server's kubelets have no {match['page']}")
        return Passed(200, "application/json", _summary(cluster, match["node"]), now)
    pod = cluster.find("", "Pod", match["pod"], match["namespace"])
    if pod is None:
        raise errors.not_found("", "pods", match["pod"])
    return _page(cluster, pod)


def _page(cluster: Cluster, pod: Object) -> Passed:
    delay_s, skew_s = 0.0, 0.0
    for experiment in _injected(cluster, pod):
        spec = experiment["spec"]
        match spec.get("action"):
            case "partition":
                return _unreached()
            case "delay":
                delay_s += clock.seconds(spec["delay"]["latency"])
            case "bandwidth":
                rate = _RATE.fullmatch(spec["bandwidth"]["rate"])
                delay_s += len(_PAGE) * 8 / (float(rate[1]) * 1000) if rate else 0.0
        if experiment["kind"] == "TimeChaos":
            skew_s += float(spec["timeOffset"].removesuffix("s"))
    date = formatdate(time.time() + skew_s, usegmt=True)
    return Passed(200, "text/plain", _PAGE, date, delay_s)


def _unreached() -> Passed:
    status = ApiError(503, "error trying to reach service: i/o timeout").status()
    now = formatdate(time.time(), usegmt=True)
    return Passed(503, "application/json", json.dumps(status).encode(), now, _SILENCE_S)


def _summary(cluster: Cluster, node: str) -> bytes:
    pods = [
        {
            "podRef": {key: pod["metadata"][key] for key in ("name", "namespace", "uid")},
            "containers": [
                _counts(cluster, pod, container) for container in pod["spec"]["containers"]
            ],
        }
        for pod in cluster.objects("", "Pod")
        if pod["spec"].get("nodeName") == node
    ]
    told = {"node": {"nodeName": node, "memory": {"availableBytes": _FREE_BYTES}}, "pods": pods}
    return json.dumps(told).encode()


def _counts(cluster: Cluster, pod: Object, container: Object) -> dict[str, Any]:
    cores, used = _IDLE_CORES, float(_IDLE_BYTES)
    for experiment in _injected(cluster, pod):
        stressors = experiment["spec"].get("stressors") or {}
        cores += (stressors.get("cpu") or {}).get("workers", 0)
        used += float(quantity((stressors.get("memory") or {}).get("size", "0").removesuffix("B")))
    # What a container would burn that is told so.
    told = {each["name"]: each.get("value", "") for each in container.get("env") or []}
    cores += float(told.get("CORES", 0))
    limits = (container.get("resources") or {}).get("limits") or {}
    if "cpu" in limits:
        cores = min(cores, float(quantity(limits["cpu"])))
    # A kubelet looks every ten seconds; here it has just looked.
    now = datetime.now(UTC).isoformat()
    return {
        "name": container["name"],
        "cpu": {"time": now, "usageNanoCores": round(cores * 1e9)},
        "memory": {"time": now, "workingSetBytes": round(used)},
    }


def _injected(cluster: Cluster, pod: Object) -> Iterator[Object]:
    """Yield the experiments that act on a pod now."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for kind in ("NetworkChaos", "StressChaos", "TimeChaos"):
        for obj in cluster.objects("chaos-mesh.org", kind):
            found = (obj.get("status", {}).get("experiment") or {}).get("containerRecords") or []
            if any(
                record["phase"] == "Injected" and f"{record['id']}/".startswith(f"{name}/")
                for record in found
            ):
                yield obj
