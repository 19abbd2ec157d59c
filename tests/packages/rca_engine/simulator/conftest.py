# SPDX-License-Identifier: Apache-2.0
"""Simulated cases, each made once, and their levels before and during the fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from rca_engine.case import Case
from rca_engine.model import NS
from rca_engine.simulator import Timing, simulate

FAULT_S = Timing().fault_s
REPLICAS = ("replica/llm-0", "replica/llm-1", "replica/llm-2")


@dataclass(frozen=True)
class Run:
    """A simulated case, and what its metrics were before and during the fault."""

    case: Case
    matrix: pd.DataFrame
    """Index: seconds since the start."""

    def before(self, component: str, metric: str) -> float:
        return float(self.during(component, metric, 15, FAULT_S[0] - 2))

    def during(
        self, component: str, metric: str, start: float = FAULT_S[0] + 10, end: float = FAULT_S[1]
    ) -> float:
        """Return the median of a metric between two times."""
        values = self.matrix.loc[start:end, (component, metric)]
        return float(values.median())

    def ratio(self, component: str, metric: str) -> float:
        return self.during(component, metric) / self.before(component, metric)

    def peak(self, component: str, metric: str) -> float:
        return float(self.matrix.loc[FAULT_S[0] : FAULT_S[1] + 10, (component, metric)].max())

    def outcomes(self) -> dict[str, int]:
        return self.case.table("requests")["outcome"].value_counts().to_dict()


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Return a function that simulates a fault, once."""
    made: dict[str, Run] = {}

    def run(fault: str) -> Run:
        if fault not in made:
            root: Path = tmp_path_factory.mktemp("simulator") / fault
            case = Case.load(simulate(root, fault=fault, seed=5))
            matrix = case.matrix()
            stamps = pd.DatetimeIndex(matrix.index).as_unit("ns").asi8
            matrix.index = pd.Index((stamps - case.info.window.start_ns) / NS)
            made[fault] = Run(case, matrix)
        return made[fault]

    return run
