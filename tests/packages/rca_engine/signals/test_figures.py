# SPDX-License-Identifier: Apache-2.0
"""What the methods reach on data of real systems."""

from __future__ import annotations

import pytest

from rca_engine import formats
from rca_engine.diagnosis import diagnose

# A count of log templates against the fault-free minute names the culprit first in this share.
LOGS_ALONE = 0.46
EVERY = 4
"""Reading all 28 cases takes longer than a test may; the evaluation's figures are of all."""


@pytest.mark.slow
def test_gated_beats_the_best_single_source_on_train_ticket(test_data):
    entries = list(formats.get("nezha").entries(test_data / "data" / "nezha_tt"))[::EVERY]
    cases = [each.load() for each in entries]
    first = [diagnose(case, "gated", time="oracle").rank_of(case.truth) == 1 for case in cases]
    assert len(first) == 7
    assert sum(first) / len(first) > LOGS_ALONE
