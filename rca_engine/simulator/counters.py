# SPDX-License-Identifier: Apache-2.0
"""Counters as an exporter shows them, from the moments at which something happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rca_engine.telemetry.samples import Floats


def so_far(
    times: Floats, moments: Sequence[float] | Floats, amounts: Floats | None = None
) -> Floats:
    """Return a counter at ``times`` of ``moments`` (their number, or the sum of ``amounts``)."""
    when = np.asarray(moments, dtype=np.float64)
    order = np.argsort(when, kind="stable")
    weights = np.ones(when.size) if amounts is None else amounts[order]
    total = np.concatenate([[0.0], np.cumsum(weights)])
    counted: Floats = total[np.searchsorted(when[order], times, side="right")]
    return counted


def grown(counter: Floats) -> Floats:
    """Return what a counter grew by between scrapes, shape (scrapes,); the first is 0."""
    return np.diff(counter, prepend=counter[:1])


def since_start(
    counter: Callable[[Floats], Floats], times: Floats, starts: Sequence[float]
) -> Floats:
    """Return a counter that begins at zero with every start of its process.

    Parameters
    ----------
    counter
        The counter without its resets, as a function of time.
    times
        Shape (scrapes,).
    starts
        When the process started, ascending, the first before all ``times``.
    """
    last = np.array(starts)[np.searchsorted(starts, times, side="right") - 1]
    return counter(times) - counter(last)
