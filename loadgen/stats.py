# SPDX-License-Identifier: Apache-2.0
"""Quantiles that stay honest when requests fail."""

from __future__ import annotations

import math
from collections.abc import Sequence

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def quantile(ordered: Sequence[float], share: float, failures: int = 0) -> float | None:
    """Return the nearest-rank quantile of ascending values, failures counted as infinitely slow.

    The answer is a value that was seen, never a mean of two (which an infinity would spoil).

    Parameters
    ----------
    ordered
        Values in ascending order.
    share
        In (0, 1].
    failures
        How many more values there are, all larger than any number.

    Returns
    -------
    float or None
        ``None`` where the quantile is infinite, or there is nothing to rank.
    """
    rank = max(1, math.ceil(share * (len(ordered) + failures)))
    return ordered[rank - 1] if rank <= len(ordered) else None


def spread(values: Sequence[float], failures: int = 0) -> dict[str, float | None]:
    """Return the :data:`QUANTILES` of values in any order, see :func:`quantile`."""
    ordered = sorted(values)
    return {name: quantile(ordered, share, failures) for name, share in QUANTILES.items()}
