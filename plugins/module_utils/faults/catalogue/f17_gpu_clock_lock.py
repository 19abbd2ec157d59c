# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F17: a GPU's clock is locked low."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from ..contract import ANY_ISOLATION, DURATION, Parameter, Target
from ..errors import RefusedError
from ..gpu_fault import GpuFault, check_settings, mean
from ..gpus import CLOCK_SETTING, Look, name_reasons
from ..undo_action import UndoAction
from ..undo_gpu import UnlockClock

# Two steps of a GPU's clock: it takes the nearest that it has.
_TOLERANCE_MHZ = 30.0
# A clock that nothing is said to hold down is as high as the GPU can go: near its highest.
_FREE_RATIO = 0.8
_WAIT_S = 5.0
_LOOK_S = 0.25
# A look may fall on a change of the clock; so many in a row don't.
_LOOKS = 2


class GpuClockLock(GpuFault):
    """Lock the clock of the multiprocessors, as ``nvidia-smi -lgc`` does.

    What was locked before can't be read with ``nvidia-smi``, and so not be given back: the fault
    wants to see the clock free under load, and is refused where it is not.
    """

    id = "F17"
    name = "gpu_clock_lock"
    summary = "The GPU's clock is locked at a share of its highest."
    symptoms = (
        "The GPU's clock and power fall while its utilisation stays or rises; inter-token latency "
        "rises, and time to first token with it."
    )
    requirements = (
        "Root, and a GPU of NVIDIA's that `chaos_agent_gpu` gives to faults, in persistence mode, "
        "on which pods of the lab compute and nobody else; load on it, and no lock of the clock "
        "yet. Tested against a stand-in of `nvidia-smi`, and not on a GPU."
    )
    mechanisms: ClassVar[Mapping[str, str | None]] = {"nvidia_smi_lgc": ANY_ISOLATION}
    parameters = (
        Parameter("clock_ratio", 0.3, 0.1, 0.7, "The lock by the GPU's highest clock."),
        DURATION,
    )
    own_reason = CLOCK_SETTING

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._lock_mhz = 0
        self._seen = False
        self._off = 0

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ("gpu_sm_clock_mhz", "gpu_clocks_event_reasons")

    def intended_dose(self) -> dict[str, float]:
        return {"clock_ratio": self.values["clock_ratio"]}

    def _check(self, look: Look) -> None:
        check_settings(look, self.target)
        if look.sm_clock_mhz is None or look.max_sm_clock_mhz is None:
            raise RefusedError(f"{self.target.component} does not tell its clocks")
        if look.reasons & CLOCK_SETTING:
            raise RefusedError(self._held_by_setting(look))

    def _held_by_setting(self, look: Look) -> str:
        return (
            f"the clock of {self.target.component} is {look.sm_clock_mhz:g} of "
            f"{look.max_sm_clock_mhz:g} MHz: it is locked or set already, and what it was could "
            f"not be given back; `nvidia-smi -i {self._gpu.uuid} -rgc` and `-rac` let it go"
        )

    def capture(self) -> tuple[UndoAction, ...]:
        self._begin()
        end = time.monotonic() + _WAIT_S
        while (problem := self._why_not(look := self._gpu.look())) is not None:
            if time.monotonic() > end:
                raise RefusedError(problem)
            time.sleep(_LOOK_S)
        self._before, self._lock_mhz = look, self._wanted_mhz(look)
        return (self._helpers.undo(), UnlockClock(self._gpu.uuid))

    def _wanted_mhz(self, look: Look) -> int:
        return round(self.values["clock_ratio"] * (look.max_sm_clock_mhz or 0.0))

    def _why_not(self, look: Look) -> str | None:
        """Say why the clock is not known to be free, and above the lock, by one look."""
        clock, highest = look.sm_clock_mhz or 0.0, look.max_sm_clock_mhz or 0.0
        if not look.is_busy:
            return (
                f"{self.target.component} was idle for {_WAIT_S:g} s, and only under load can be "
                f"seen whether its clock is free: is there load on it?"
            )
        # Not every driver tells of a lock; but then it tells of nothing else either.
        if look.reasons & CLOCK_SETTING or (not look.reasons and clock < _FREE_RATIO * highest):
            return self._held_by_setting(look)
        if clock <= self._wanted_mhz(look) + _TOLERANCE_MHZ:
            return (
                f"the clock of {self.target.component} is {clock:g} MHz under load already, by "
                f"{', '.join(name_reasons(look.reasons))}: ask for a smaller clock_ratio"
            )
        return None

    def inject(self) -> None:
        self._gpu.lock_clock(self._lock_mhz, self._helpers.environment)

    def _is_at_lock(self, look: Look) -> bool:
        return abs((look.sm_clock_mhz or 0.0) - self._lock_mhz) <= _TOLERANCE_MHZ

    def verify_effect(self) -> bool:
        look = self._look()
        self._seen = look.is_busy and self._is_at_lock(look)
        return self._seen

    def disturbance(self) -> str | None:
        """Say that the clock is no longer at the lock, where nothing but a setting could do it."""
        known = self._last
        look = self._look()
        if not self._seen or look is known:
            return None
        held = look.reasons & ~self.own_reason
        astray = look.is_busy and not held and not self._is_at_lock(look)
        self._off = self._off + 1 if astray else 0
        if self._off < _LOOKS:
            return None
        return (
            f"something else has changed the clock: it is {look.sm_clock_mhz:g} MHz, and was "
            f"locked at {self._lock_mhz} MHz"
        )

    def measured_dose(self) -> dict[str, float]:
        clock = mean([look.sm_clock_mhz for look in self._busy])
        highest = mean([look.max_sm_clock_mhz for look in self._busy])
        before = None if self._before is None else self._before.sm_clock_mhz
        return {
            "sm_clock_mhz_before": before or 0.0,
            "sm_clock_mhz": round(clock, 1),
            "clock_ratio": round(clock / highest, 4),
        }
