# SPDX-License-Identifier: Apache-2.0
"""A replica that fails at every start, as long as what keeps it from starting is there."""

from __future__ import annotations

from functools import partial

from rca_engine.simulator.cluster import Cluster
from rca_engine.simulator.replica import Replica
from rca_engine.simulator.settings import Setting

_BACK_OFF_S = 8.0


def crash_loop(
    cluster: Cluster, replica: Replica, obstacle: Setting, message: str, now: float
) -> None:
    """Try to start a dead replica, fail with ``message``, and try again while ``obstacle`` is set.

    Its start after that is for who takes the obstacle away.
    """
    if not obstacle.value:
        return
    replica.restarts.append(now)
    cluster.log(now, replica.id, "error", message)
    cluster.event(now, replica.id, "BackOff", "Back-off restarting failed container engine")
    later = partial(crash_loop, cluster, replica, obstacle, message)
    cluster.at(now + _BACK_OFF_S, later)
