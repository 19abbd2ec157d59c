# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a target through the API server: what the kubelet counts, and what a pod answers.

Nothing runs in the pod for it, and no port of it has to be reached from here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from .api import NODE, POD, Api
from .cluster import ClusterPod

# Answers that say that the pod did not answer.
_UNREACHED = (502, 503, 504)
_PORTS = ("metrics", "http", "serve")


@dataclass(frozen=True)
class Usage:
    """What the kubelet counts of a pod's container (``stats/summary``).

    Attributes
    ----------
    time
        When the kubelet looked: some ten seconds apart, unless it is told otherwise.
    cores
        CPU time over the last such interval.
    working_set_bytes
        Memory in use.
    free_bytes
        What the node has left.
    """

    time: str
    cores: float
    working_set_bytes: int
    free_bytes: int


def usage(api: Api, pod: ClusterPod) -> Usage:
    """Return what the kubelet counts of a pod.

    Raises
    ------
    OSError
        If it can't be asked, or counts nothing of the pod yet.
    """
    path = f"{NODE.path('', pod.node)}/proxy/stats/summary"
    answer = api.request("GET", path)
    if answer.status != 200:
        raise OSError(f"the kubelet of {pod.node} answers {answer.status} through the API server")
    summary = answer.json()
    try:
        [told] = [each for each in summary["pods"] if each["podRef"]["uid"] == pod.uid]
        [of] = [each for each in told["containers"] if each["name"] == pod.container["name"]]
        return Usage(
            str(of["cpu"]["time"]),
            int(of["cpu"]["usageNanoCores"]) / 1e9,
            int(of["memory"]["workingSetBytes"]),
            int(summary["node"]["memory"]["availableBytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise OSError(
            f"the kubelet of {pod.node} tells nothing of {pod.name}: {error!r}"
        ) from error


@dataclass(frozen=True)
class Page:
    """What a pod has answered: after how long, how much, and by what clock."""

    seconds: float
    size: int
    date: str | None

    def offset_s(self) -> float:
        """Return the pod's clock less this host's, to the second.

        Raises
        ------
        OSError
            If the pod tells no time.
        """
        if self.date is None:
            raise OSError("the pod answers without a Date")
        return parsedate_to_datetime(self.date).timestamp() - time.time()


def page(api: Api, pod: ClusterPod, timeout_s: float) -> Page | None:
    """Ask a pod for its metrics through the API server; None if it does not answer in time."""
    path = f"{POD.path(pod.namespace, pod.name)}:{_port(pod)}/proxy/metrics"
    begin = time.monotonic()
    try:
        answer = api.request("GET", path, timeout_s=timeout_s)
    except OSError:
        return None
    seconds = time.monotonic() - begin
    if answer.status in _UNREACHED:
        return None
    return Page(seconds, len(answer.data), answer.headers.get("Date"))


def _port(pod: ClusterPod) -> int:
    """Return the port of the container at which it is scraped, or the first that it names."""
    ports: list[dict[str, Any]] = pod.container.get("ports") or []
    named = {each.get("name"): int(each["containerPort"]) for each in ports}
    found = next((named[name] for name in _PORTS if name in named), None)
    if found is not None:
        return found
    if not ports:
        raise OSError(f"pod {pod.name} names no port: it can't be asked for anything")
    return int(ports[0]["containerPort"])
