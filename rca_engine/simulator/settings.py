# SPDX-License-Identifier: Apache-2.0
"""A value that changes at given times: what an operator, a fault or a failure sets."""

from __future__ import annotations

import numpy as np

from rca_engine.telemetry.samples import Floats


class Setting:
    """A number over time, constant between changes.

    Parameters
    ----------
    value
        What it is from the beginning.
    """

    def __init__(self, value: float) -> None:
        self.value = float(value)
        self._normal = float(value)
        self._times, self._values = [-np.inf], [float(value)]

    def set(self, time_s: float, value: float) -> None:
        """Change it at ``time_s``; changes come in order of time."""
        self.value = float(value)
        self._times.append(time_s)
        self._values.append(self.value)

    def restore(self, time_s: float) -> None:
        """Set it back to what it was at the beginning."""
        self.set(time_s, self._normal)

    def at(self, times_s: Floats) -> Floats:
        """Return its value at each of ``times_s``, shape (times,)."""
        values: Floats = np.array(self._values)[np.searchsorted(self._times, times_s, "right") - 1]
        return values
