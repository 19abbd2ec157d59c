# SPDX-License-Identifier: Apache-2.0
"""One replica as the cluster sees it: a process with an engine, behind a link, in a pod."""

from __future__ import annotations

from dataclasses import dataclass, field

from rca_engine.simulator.engine import Engine
from rca_engine.simulator.network import Link
from rca_engine.simulator.settings import Setting
from rca_engine.simulator.workload import Request


@dataclass
class Replica:
    """A replica and what befalls its process.

    Parameters
    ----------
    alive
        1 while its process runs and answers.
    frozen
        1 while its engine core is stopped (SIGSTOP): the process lives, and does nothing.
    listed
        1 while the router sends it requests.
    scraped
        0 while its metrics agent is too slow to answer.
    ballast_bytes
        Memory that something else holds in its pod.
    memory_stall
        Share of time in which its tasks wait for memory.
    starts, restarts, oom_kills, unhealthy
        Times at which its process came up (again), was restarted, was killed for memory, and failed
        a health check.
    """

    number: int
    id: str
    node: str
    gpus: tuple[str, ...]
    engine: Engine
    link: Link
    alive: Setting = field(default_factory=lambda: Setting(1.0))
    frozen: Setting = field(default_factory=lambda: Setting(0.0))
    listed: Setting = field(default_factory=lambda: Setting(1.0))
    scraped: Setting = field(default_factory=lambda: Setting(1.0))
    ballast_bytes: Setting = field(default_factory=lambda: Setting(0.0))
    memory_stall: Setting = field(default_factory=lambda: Setting(0.0))
    starts: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    oom_kills: list[float] = field(default_factory=list)
    unhealthy: list[float] = field(default_factory=list)
    unread: list[tuple[Request, float, bool]] = field(default_factory=list)
    """(request, when, whether it is new or given up) of what a frozen engine has not read yet."""
    outstanding: int = 0
    life: int = 0
    """Counts its processes: a step of an earlier one must not end in a later one."""
    stepping: bool = False
