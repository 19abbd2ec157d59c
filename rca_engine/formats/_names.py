# SPDX-License-Identifier: Apache-2.0
"""Columns called ``<component>_<metric>``, and what is known of metrics by their name.

Data sets that put both names into one column leave it to the reader where the first ends. Services
have ``_`` in their names, and so have metrics (``lat_50``): a column is split before the longest
ending that is a known metric, and only where there is none, at the first ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rca_engine.formats._build import service
from rca_engine.model import Direction, Metric

_ENDING = re.compile(
    r"_(?P<metric>"
    r"(?:(?:ctn|pod|node)_)?(?:cpu|mem|memory|network|gpu|name|ip)"
    r"|lat(?:ency)?(?:[_-](?:p?\d+(?:\.\d+)?|avg|mean))?"
    r"|lod|load|workload|error|errors|error[_-]rate|qps|rps|requests?"
    r"|disk(?:io)?|sockets?|delay|loss|istio-latency(?:-\d+)?"
    r")$"
)
_ALIASES = {"lod": "load"}
_DOWN = re.compile(r"success|availab", re.IGNORECASE)
_UP = re.compile(r"lat|error|loss|delay|duration", re.IGNORECASE)
_EXTERNAL = re.compile(r"lat|error|success|availab|load|request|qps|rps|ops", re.IGNORECASE)
_QUANTILE = re.compile(r"(?:lat|duration).*?[_-]?p?(?:50|90|95|99)", re.IGNORECASE)


def split_name(column: str) -> tuple[str, str]:
    """Return the component and the metric that a column's name holds.

    A name that can't be split is a component with the metric ``value``.
    """
    found = _ENDING.search(column, pos=1)
    if found is not None:
        name, metric = column[: found.start()], found["metric"]
    else:
        name, _, metric = column.partition("_")
    if not name or not metric:
        name, metric = column, "value"
    return service(name), _ALIASES.get(metric, metric)


def metric_facts(names: Iterable[str]) -> dict[str, Metric]:
    """Return what a metric's name tells of it: which way is bad, and who sees it."""
    return {name: _facts(name) for name in sorted(set(names))}


def _facts(name: str) -> Metric:
    direction: Direction = "both"
    if _DOWN.search(name):
        direction = "down"
    elif _UP.search(name):
        direction = "up"
    return Metric(
        name=name,
        kind="quantile" if _QUANTILE.search(name) else "gauge",
        unit="",
        direction=direction,
        scope="external" if _EXTERNAL.search(name) else "internal",
    )
