# SPDX-License-Identifier: Apache-2.0
"""Nodes and GPUs: what they are set to, and what a GPU's use makes of its power and heat.

The figures are those of a data-centre GPU of 400 W in round numbers; only their relations matter:
prefill draws more than decode, power falls steeply with the clock, heat follows power slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rca_engine.simulator.settings import Setting
from rca_engine.telemetry.samples import Floats

BOOST_MHZ, IDLE_W, PREFILL_W, DECODE_W, LIMIT_W = 1410.0, 60.0, 380.0, 250.0, 400.0
FRAMEBUFFER_MIB = 81_920.0
SPINNING_W = 60.0
"""What a rank draws above idle while it waits for another."""
CLOCK_POWER = 2.2
"""Power above idle goes with the clock to this power."""
_AMBIENT_C, _C_PER_W, _HEAT_S = 28.0, 0.11, 20.0
NO_EVENT, APPLICATION_CLOCKS, SW_POWER_CAP = 0.0, 2.0, 4.0
"""Bits of DCGM's clocks-event reasons."""


@dataclass
class Node:
    """A machine; ``neighbour_cores`` are in use by what is none of the lab's."""

    id: str
    cores: int
    neighbour_cores: Setting = field(default_factory=lambda: Setting(0.0))
    cpu_share: Setting = field(default_factory=lambda: Setting(1.0))
    clock_offset_s: Setting = field(default_factory=lambda: Setting(0.0))


@dataclass
class Gpu:
    """A GPU, one rank of replica ``replica``.

    ``clock`` is its share of the boost clock; ``intruder`` the share of its time that another
    process takes; ``ballast_mib`` the memory that another process holds; ``stopped`` the share of
    time in which its own rank's process is stopped; ``power_limit_w`` its limit; ``xid`` the last
    error that it reports; ``false_heat_c`` what its telemetry adds to its temperature.
    """

    id: str
    replica: int
    rank: int
    clock: Setting = field(default_factory=lambda: Setting(1.0))
    intruder: Setting = field(default_factory=lambda: Setting(0.0))
    ballast_mib: Setting = field(default_factory=lambda: Setting(0.0))
    stopped: Setting = field(default_factory=lambda: Setting(0.0))
    xid: Setting = field(default_factory=lambda: Setting(0.0))
    false_heat_c: Setting = field(default_factory=lambda: Setting(0.0))
    power_limit_w: Setting = field(default_factory=lambda: Setting(LIMIT_W))


def capped_speed(limit_w: float, demand_w: float) -> float:
    """Return the share of its clock that a load of ``demand_w`` keeps under a power limit."""
    share = (limit_w - IDLE_W) / (demand_w - IDLE_W)
    return float(min(1.0, max(share, 0.05)) ** (1 / CLOCK_POWER))


def power_w(prefill: Floats, decode: Floats, other: Floats, clock: Floats) -> Floats:
    """Return the power of a GPU that spends these shares of its time, shape (times,)."""
    dynamic = prefill * (PREFILL_W - IDLE_W) + decode * (DECODE_W - IDLE_W)
    dynamic += other * (PREFILL_W - IDLE_W)
    drawn: Floats = IDLE_W + dynamic * clock**CLOCK_POWER
    return drawn


def temperature_c(power: Floats, interval_s: float) -> Floats:
    """Return the temperature that follows a power, shape (times,), a first-order lag behind."""
    target = _AMBIENT_C + _C_PER_W * power
    keep = np.exp(-interval_s / _HEAT_S)
    heat, values = float(target[: max(1, target.size // 10)].mean()), []
    for goal in target.tolist():
        heat = keep * heat + (1 - keep) * goal
        values.append(heat)
    return np.array(values)
