# SPDX-License-Identifier: Apache-2.0
"""What counts as a gap in what was scraped."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine.model import NS, Window
from rca_engine.telemetry.completeness import _gaps


@pytest.mark.parametrize(
    ("missed", "late_ms", "found"), [(2, 0, 0), (2, 4, 0), (2, 400, 0), (3, 0, 1), (3, -4, 1)]
)
def test_a_gap_is_more_than_three_whole_intervals(missed: int, late_ms: int, found: int) -> None:
    before = np.arange(0, 11) * NS
    after = np.arange(11 + missed, 30) * NS
    after[0] += late_ms * 1_000_000
    times = np.concatenate([before, after])
    assert len(_gaps(times, Window(0, 29 * NS), 1.0)) == found
