# SPDX-License-Identifier: Apache-2.0
"""Figures on Sock Shop 1 that must hold (published ones: Pham et al., ASE 2024, table 5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rca_engine import formats, methods
from rca_engine.case import Case
from rca_engine.methods import _changepoint
from rca_engine.model import NS
from rca_engine.ranking import Context

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cases(test_data: Path) -> list[Case]:
    root = test_data / "data" / "rcd_sockshop"
    return [entry.load() for entry in formats.get("rcd").entries(root)]


def average_at_5(cases: list[Case], method: str, late_s: float | None) -> dict[str, float]:
    """Return Avg@5 by fault; ``late_s`` None tells no time."""
    shares: dict[str, list[float]] = {"cpu": [], "mem": []}
    for case in cases:
        time_ns = None if late_s is None else case.truth.fault_window[0] + round(late_s * NS)
        ranking = methods.get(method).rank(case.view({"metrics"}), Context(time_ns=time_ns))
        ((component, (fault,)),) = case.truth.root_causes.items()
        names = [each.component for each in ranking.components()]
        rank = names.index(component) if component in names else 5
        shares[fault].append(max(0, 5 - rank) / 5)
    return {fault: float(np.mean(each)) for fault, each in shares.items()}


@pytest.mark.parametrize(
    ("method", "late_s", "least"),
    [
        ("baro", 0, 0.99),
        ("baro", 60, 0.98),
        ("baro", 120, 0.98),
        ("baro", None, 0.95),
        ("nsigma", 0, 0.98),
        ("nsigma", 60, 0.98),
        ("nsigma", None, 0.95),
        ("e_diagnosis", 0, 0.55),
    ],
)
def test_avg_at_5_is_at_least_what_is_said(cases, method, late_s, least):
    assert min(average_at_5(cases, method, late_s).values()) >= least


def test_dropping_hopeless_run_lengths_moves_no_change_point(cases, monkeypatch):
    for case in cases:
        ranked = _changepoint.ranks(case.matrix().to_numpy())
        dropped = _changepoint.boundaries(ranked)
        with monkeypatch.context() as patch:
            patch.setattr(_changepoint, "_HOPELESS", 1e-300)
            assert dropped.tolist() == _changepoint.boundaries(ranked).tolist()
