# SPDX-License-Identifier: Apache-2.0
"""F00: the negative control. Anything that a method finds here is a false alarm."""

from __future__ import annotations

from rca_engine.simulator.faults._base import Fault


class Sham(Fault):
    """Go through the window of a fault, and give no dose."""

    id = "F00"
    name = "sham"
    layer = "control"
    summary = "Every step of a fault without a dose."
    symptoms = "None: whatever is found is a false alarm."
    targets = ("replica",)
    metrics = ()
    sham = True
