# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault may act on: the pods of this host, and the lab's parts that are no pod.

``pods.json`` lists the pods. ``lab.json`` beside it, which the role chaos_agent writes, tells of
the rest: supervisor, service, client, telemetry, the machine's name, and what nobody may break.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import pods
from .errors import RefusedError
from .gpus import Gpu
from .pods import Pod
from .service import Service
from .supervisor import Supervisor

FORMAT = 1
CLIENT, SERVICE = "client/loadgen", "service/llm"
_COMPONENT = re.compile(r"[a-z]+/[A-Za-z0-9_.-]+")
_MISSING = "run the role chaos_agent, which writes lab.json beside pods.json"


@dataclass(frozen=True)
class Part:
    """A target that is no pod: machine, GPU, client, service as a whole, or a part of telemetry.

    Attributes
    ----------
    program
        What the supervisor calls it; None for all but telemetry.
    address, port
        Where it is scraped; None for all but telemetry.
    uuid
        The GPU's; None for what is none.
    """

    component: str
    isolation: str
    program: str | None = None
    address: str | None = None
    port: int | None = None
    uuid: str | None = None


@dataclass(frozen=True)
class Grafana:
    """Where windows are annotated."""

    url: str
    token_file: str


@dataclass(frozen=True)
class Client:
    """How load is put on the service: loadgen, and the front door.

    Attributes
    ----------
    command
        loadgen's program and its first arguments.
    url
        Root of the service at the lab's own gateway.
    """

    command: tuple[str, ...]
    url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", tuple(self.command))


@dataclass(frozen=True)
class Engine:
    """What the replicas' engines serve.

    Attributes
    ----------
    model
        Its name.
    max_model_len
        Most tokens of a prompt and its answer.
    metrics
        Where a pod is scraped: a URL with ``{address}`` for the pod's.
    """

    model: str
    max_model_len: int
    metrics: str


@dataclass(frozen=True)
class Lab:
    """The lab on this host; what ``lab.json`` does not tell is None or empty.

    Attributes
    ----------
    parts
        The targets that are no pods.
    node
        The machine's component.
    prometheus
        Prometheus' URL.
    deny
        Patterns of faults and components that nobody may break here.
    faketime
        Component -> the file that tells its program, run under libfaketime, its offset.
    folder
        Where the lab keeps its files.
    client, engine
        How load is put on the service, and what answers.
    """

    name: str
    isolation: str
    pods: tuple[Pod, ...]
    parts: tuple[Part, ...] = ()
    node: str | None = None
    supervisor: Supervisor | None = None
    service: Service | None = None
    prometheus: str | None = None
    grafana: Grafana | None = None
    deny: tuple[str, ...] = ()
    faketime: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    client: Client | None = None
    engine: Engine | None = None

    def need_supervisor(self) -> Supervisor:
        """Return the supervisor; raise `RefusedError` where nobody knows of one."""
        if self.supervisor is None:
            raise RefusedError(f"the lab's supervisor is not known: {_MISSING}")
        return self.supervisor

    def need_service(self) -> Service:
        """Return the service; raise `RefusedError` where nobody knows of one."""
        if self.service is None:
            raise RefusedError(f"the lab's service is not known: {_MISSING}")
        return self.service

    def need_client(self) -> Client:
        """Return how load is put on the service; raise `RefusedError` where nobody knows."""
        if self.client is None:
            raise RefusedError(f"how to load the service is not known: {_MISSING}")
        return self.client

    def need_engine(self) -> Engine:
        """Return what the engines serve; raise `RefusedError` where nobody knows."""
        if self.engine is None:
            raise RefusedError(f"the lab's engine is not known: {_MISSING}")
        return self.engine

    def replica_addresses(self) -> tuple[str, ...]:
        """Return the addresses of the replicas' pods."""
        return tuple(
            pod.address
            for pod in self.pods
            if pod.component.startswith("replica/") and pod.address is not None
        )

    def find(self, component: str) -> Pod | Part:
        """Return what a component is.

        Raises
        ------
        RefusedError
            If it is none of this lab, or can be no target; see :func:`pods.find_pod`.
        """
        found = [part for part in self.parts if part.component == component]
        if len(found) == 1:
            return found[0]
        if component.startswith("gpu/"):
            raise RefusedError(self._no_gpu(component, len(found)))
        return pods.find_pod(list(self.pods), component)

    def _no_gpu(self, component: str, count: int) -> str:
        known = [part.component for part in self.parts if part.uuid is not None]
        if not known:
            return f"no GPU of this host is for faults: set chaos_agent_gpu, and {_MISSING}"
        what = "no GPU" if count == 0 else f"{count} GPUs"
        return (
            f"target {component!r} is {what} of this lab, whose GPUs are {', '.join(known)}; where "
            f"the host has others now, {_MISSING}"
        )


def check_allowed(deny: Iterable[str], fault: str, component: str) -> None:
    """Raise `RefusedError` for a fault or a component on the lab's deny list."""
    for pattern in deny:
        if fnmatch.fnmatchcase(fault, pattern) or fnmatch.fnmatchcase(component, pattern):
            raise RefusedError(
                f"{fault} on {component} is on this lab's deny list ({pattern}; "
                f"chaos_agent_deny of the role chaos_agent)"
            )


def load_lab(pods_path: Path) -> Lab:
    """Read ``pods.json``, and ``lab.json`` beside it where it is there.

    Raises
    ------
    RefusedError
        If either is no such file.
    """
    name, isolation, found = pods.load_lab_pods(pods_path)
    path = pods_path.with_name("lab.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Lab(name, isolation, tuple(found), folder=pods_path.parent.absolute())
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} can't be read as the lab's description: {error}") from error
    try:
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, not {FORMAT}")
        return Lab(
            name,
            isolation,
            tuple(found),
            _parts(facts, isolation),
            facts["node"],
            Supervisor(facts["supervisor"]),
            Service(**facts["service"]),
            facts["prometheus"],
            None if facts["grafana"] is None else Grafana(**facts["grafana"]),
            tuple(facts["deny"]),
            dict(facts["faketime"]),
            pods_path.parent.absolute(),
            Client(**facts["client"]),
            Engine(**facts["engine"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise RefusedError(f"{path} is no description of this lab: {detail}") from error


def _parts(facts: dict[str, Any], isolation: str) -> tuple[Part, ...]:
    parts = [Part(each, isolation) for each in (facts["node"], CLIENT, SERVICE)]
    parts += [
        Part(each["component"], isolation, each["program"], each["address"], each["port"])
        for each in facts["telemetry"]
    ]
    parts += [
        Part(each["component"], isolation, uuid=Gpu(each["uuid"]).uuid)
        for each in facts.get("gpus", [])
    ]
    for part in parts:
        if not _COMPONENT.fullmatch(part.component):
            raise ValueError(f"{part.component!r} is no component")
    return tuple(parts)
