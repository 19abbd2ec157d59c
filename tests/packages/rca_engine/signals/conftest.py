# SPDX-License-Identifier: Apache-2.0
"""A small shop, made up: a front end that calls a cart and a catalogue, which call a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rca_engine.case import CaseView
from rca_engine.model import NS, Metric, Topology, Window
from rca_engine.ranking import Context
from rca_engine.schemas.tables import TABLES

LENGTH_S, ALERT_S = 240, 180
CALLS = {
    "front/buy": ("cart/add", "catalogue/price"),
    "front/browse": ("catalogue/list",),
    "cart/add": ("db/insert",),
    "catalogue/price": ("db/select",),
    "catalogue/list": ("db/select",),
    "db/insert": (),
    "db/select": (),
}
OFTEN = 0.7
"""Share of the visits that make each call: which operations a trace has tells them apart."""
OWN_MS = {"front": 5.0, "cart": 8.0, "catalogue": 6.0, "db": 3.0}


def service(operation: str) -> str:
    return f"service/{operation.split('/')[0]}"


@dataclass
class Shop:
    """What the shop does in four minutes; each hook may change it after the alert.

    ``slow`` and ``failing`` have services (or operations) and a factor, or the share that fails;
    ``calls`` are further calls by operation; ``says`` gives the log lines of a span.
    """

    seed: int = 0
    rate: float = 2.0
    slow: dict[str, float] = field(default_factory=dict)
    failing: dict[str, float] = field(default_factory=dict)
    calls: dict[str, tuple[str, ...]] = field(default_factory=dict)
    says: Callable[[str, bool], list[str]] = lambda operation, after: [f"INFO did {operation}"]
    metrics: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._spans: list[tuple[Any, ...]] = []
        self._lines: list[tuple[Any, ...]] = []
        for number in range(int(LENGTH_S * self.rate)):
            start = number / self.rate
            entry = "front/buy" if number % 2 else "front/browse"
            self._visit(entry, f"{number + 1:032x}", None, start, start >= ALERT_S)

    def _visit(
        self, operation: str, trace: str, parent: str | None, start: float, after: bool
    ) -> tuple[float, bool]:
        rng, name = self._rng, operation.split("/")[0]
        span_id = f"{len(self._spans) + 1:016x}"
        row = len(self._spans)
        self._spans.append(())
        factor = self.slow.get(name, self.slow.get(operation, 1.0)) if after else 1.0
        spent = OWN_MS.get(name, 4.0) * factor * rng.lognormal(0.0, 0.1)
        failed = after and rng.random() < self.failing.get(name, 0.0)
        extra = self.calls.get(operation, ()) if after else ()
        made = [each for each in CALLS.get(operation, ()) if rng.random() < OFTEN]
        for called in (*made, *extra):
            took, broke = self._visit(called, trace, span_id, start + spent / 1000, after)
            spent, failed = spent + took, failed or broke
        self._spans[row] = (
            trace,
            span_id,
            parent,
            service(operation),
            operation.split("/")[1],
            "server",
            pd.Timestamp(round(start * NS), tz="UTC"),
            round(spent * 1e6),
            "error" if failed else "ok",
            "{}",
        )
        for line in self.says(operation, after):
            text = line.replace("SPAN", span_id).replace("TRACE", trace)
            self._lines.append(
                (
                    pd.Timestamp(round(start * NS), tz="UTC"),
                    service(operation),
                    "stdout",
                    None,
                    text,
                )
            )
        return spent, failed

    def table(self, name: str) -> pd.DataFrame:
        columns = TABLES[name].names
        if name == "traces":
            return pd.DataFrame(self._spans, columns=columns)
        if name == "logs":
            return pd.DataFrame(self._lines, columns=columns)
        times = pd.to_datetime(np.arange(LENGTH_S) * NS, utc=True)
        parts = [
            pd.DataFrame({"timestamp": times, "component": c, "metric": m, "value": values})
            for (c, m), values in self.metrics.items()
        ]
        return pd.concat(parts) if parts else TABLES[name].empty_table().to_pandas()

    def view(self, *names: str, **replaced: pd.DataFrame) -> CaseView:
        """Show these tables, and the others empty."""
        tables = {
            name: self.table(name) if name in names else TABLES[name].empty_table().to_pandas()
            for name in ("metrics", "logs", "traces")
        }
        known = {metric: Metric(metric, "gauge", "") for _, metric in self.metrics}
        return CaseView(
            Window(0, LENGTH_S * NS), 1.0, Topology((), ()), known, {**tables, **replaced}
        )


def noise(seed: int, level: float = 10.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, spread, LENGTH_S)


def step(values: np.ndarray, change: float) -> np.ndarray:
    return values + np.where(np.arange(LENGTH_S) >= ALERT_S - 3, change, 0.0)


@pytest.fixture
def shop() -> type[Shop]:
    return Shop


@pytest.fixture
def told() -> Context:
    return Context(time_ns=ALERT_S * NS)


@pytest.fixture
def quiet_metrics() -> dict[tuple[str, str], np.ndarray]:
    names = ("front", "cart", "catalogue", "db")
    return {(f"service/{name}", "cpu"): noise(at) for at, name in enumerate(names)}


@pytest.fixture
def raised() -> Callable[[np.ndarray, float], np.ndarray]:
    return step
