# SPDX-License-Identifier: Apache-2.0
"""What a dashboard is made of, and the shapes of its queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
LOKI = {"type": "loki", "uid": "loki"}
RANGE = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows, in which unit, and the queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    text: str = ""
    kind: str = "timeseries"
    source: dict[str, str] = field(default_factory=lambda: PROMETHEUS)
    width: int = 8
    maximum: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard, and the label whose values a viewer chooses from."""

    name: str
    title: str
    series: str
    rows: tuple[Row, ...]


def per_component(name: str, title: str, unit: str, query: str, **options: Any) -> Panel:
    """Return a panel of one query with a line for each component."""
    return Panel(title, unit, ((query, "{{component}}"),), text=name, **options)


def quantile(q: float, histogram: str) -> str:
    """Return the quantile of a histogram by component."""
    rates = f'rate({histogram}_bucket{{component=~"$component"}}[{RANGE}])'
    return f"histogram_quantile({q}, sum by (component, le) ({rates}))"


def rate(series: str, labels: str = "", *, by: str = "component") -> str:
    """Return the summed rate of a counter."""
    selector = ", ".join(filter(None, ['component=~"$component"', labels]))
    return f"sum by ({by}) (rate({series}{{{selector}}}[{RANGE}]))"


def gauge(series: str, labels: str = "", *, how: str = "sum") -> str:
    """Return a gauge by component."""
    selector = ", ".join(filter(None, ['component=~"$component"', labels]))
    return f"{how} by (component) ({series}{{{selector}}})"


def mean(histogram: str) -> str:
    """Return the mean of what a histogram or summary counted."""
    return f"{rate(histogram + '_sum')} / {rate(histogram + '_count')}"
