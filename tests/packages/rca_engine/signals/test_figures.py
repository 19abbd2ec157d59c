# SPDX-License-Identifier: Apache-2.0
"""What the methods reach on data of real systems."""

from __future__ import annotations

from rca_engine import formats
from rca_engine.diagnosis import diagnose

# A count of log templates against the fault-free minute names the culprit first in this share.
LOGS_ALONE = 0.46


def test_gated_beats_every_single_source_on_train_ticket(test_data):
    cases = [each.load() for each in formats.get("nezha").entries(test_data / "data" / "nezha_tt")]
    first = [diagnose(case, "gated", time="oracle").rank_of(case.truth) == 1 for case in cases]
    assert len(first) == 28
    assert sum(first) / 28 > LOGS_ALONE
