# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of a fault of a GPU's settings."""

from __future__ import annotations

from dataclasses import dataclass

from .gpus import CLOCK_SETTING, Gpu, Look, UnsupportedError, may_change_settings
from .undo_action import UndoAction


@dataclass(frozen=True)
class SetPowerLimit(UndoAction):
    """Give a GPU the power limit that it had, in the very words of ``nvidia-smi``."""

    kind = "set_power_limit"
    uuid: str
    watts: str

    def __post_init__(self) -> None:
        Gpu(self.uuid)  # raises where it names none
        float(self.watts)

    def restore(self) -> None:
        look = _look(self.uuid)
        if look is not None and look.power_limit != self.watts:
            Gpu(self.uuid).set_power_limit(self.watts)

    def remainder(self) -> str | None:
        look = _look(self.uuid)
        if look is None or look.power_limit == self.watts:
            return None
        return f"the power limit of {self.uuid} is {look.power_limit} W, not {self.watts} W"


@dataclass(frozen=True)
class UnlockClock(UndoAction):
    """Let a GPU's clock go, which was not locked.

    No field of ``nvidia-smi`` tells of a lock, only that some setting holds the clock down, and not
    with every driver: the lock is taken off each time.
    """

    kind = "unlock_clock"
    uuid: str

    def __post_init__(self) -> None:
        Gpu(self.uuid)

    def restore(self) -> None:
        gpu = Gpu(self.uuid)
        try:
            gpu.unlock_clock()
        except UnsupportedError:
            return  # a clock that can't be locked has no lock
        except PermissionError:
            # Nor has one that nobody here may lock (a virtual machine's, say).
            if not may_change_settings():
                raise
        except OSError:
            if gpu.is_there():
                raise

    def remainder(self) -> str | None:
        look = _look(self.uuid)
        if look is None or not look.reasons & CLOCK_SETTING:
            return None
        return f"the clock of {self.uuid} is still held down by a setting"


def _look(uuid: str) -> Look | None:
    """Return a look at a GPU; None where the machine no longer has it."""
    gpu = Gpu(uuid)
    try:
        return gpu.look()
    except OSError:
        if gpu.is_there():
            raise
        return None
