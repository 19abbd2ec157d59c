# SPDX-License-Identifier: Apache-2.0
"""What the methods that train networks share: the time that they may take, and what they say of it.

A deadline makes a result depend on the machine's speed. So it ends training only where the context
sets a budget, and the ranking says that it did.
"""

from __future__ import annotations

import time as clock

from rca_engine.discovery.graph import CausalGraph
from rca_engine.ranking import Context

_RESERVE = 0.1
"""Share of the budget that is left for what follows the training."""


def deadline(context: Context) -> float | None:
    """Return when training must end, on the clock of :func:`time.monotonic`; None for never."""
    if context.budget_s is None:
        return None
    return clock.monotonic() + (1.0 - _RESERVE) * context.budget_s


def notes(context: Context, graph: CausalGraph, finished: bool) -> str | None:
    """Return what a reader of the ranking must know of the training; None if nothing."""
    said = []
    if not finished:
        said.append(f"training ended early, at the budget of {context.budget_s:g} s")
    if not graph.causes().any():
        said.append("the discovered graph has no link: ranked by deviation")
    return "; ".join(said) or None
