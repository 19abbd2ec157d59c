# SPDX-License-Identifier: Apache-2.0
"""Whether a chart has the values that a role sets: helm itself ignores those that it has not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

# Istio's charts keep their values one step deeper than users set them.
_WRAPPER = "_internal_defaults_do_not_set"


class NoValuesError(LookupError):
    """A chart whose values are not among the test data."""


def unknown_values(
    values: Mapping[str, Any], chart_values: Mapping[str, Any], free_form: Iterable[str] = ()
) -> list[str]:
    """Return the paths of values that a chart does not have.

    Parameters
    ----------
    values
        What a role sets.
    chart_values
        The chart's own values.yaml. An empty map or null in it takes anything; where it has a list,
        what is in the list is not compared.
    free_form
        Paths, dotted, below which anything goes; a step `*` stands for any name.
    """
    free = "|".join(re.escape(path).replace(r"\*", "[^.]+") for path in free_form)
    return list(_unknown(values, chart_values, re.compile(free or "(?!)"), ""))


def _unknown(
    values: Mapping[str, Any],
    chart_values: Mapping[str, Any],
    free: re.Pattern[str],
    above: str,
) -> Iterable[str]:
    for name, value in values.items():
        path = f"{above}{name}"
        if free.fullmatch(path):
            continue
        if name not in chart_values:
            yield path
            continue
        theirs = chart_values[name]
        # null takes a value away, an empty map or null takes any.
        if value is None or theirs is None or theirs == {}:
            continue
        if isinstance(value, Mapping) and isinstance(theirs, Mapping):
            yield from _unknown(value, theirs, free, f"{path}.")
        elif isinstance(value, Mapping) != isinstance(theirs, Mapping):
            yield f"{path} ({_shape(value)} where the chart has {_shape(theirs)})"


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a map"
    return "a list" if isinstance(value, list) else "text"


def chart_folder(charts: Path, name: str) -> Path:
    """Return the folder of a chart's data.

    Raises
    ------
    NoValuesError
        If there is none.
    """
    for folder in (charts / name, charts / f"istio-{name}"):
        if (folder / "values.yaml").is_file():
            return folder
    raise NoValuesError(name)


def chart_values(charts: Path, name: str) -> dict[str, Any]:
    """Return a chart's values, those of its sub-charts under their names.

    A sub-chart whose values are not there is known by what the chart itself sets of it.

    Raises
    ------
    NoValuesError
        If there is no such chart.
    """
    folder = chart_folder(charts, name)
    values: dict[str, Any] = _read(folder / "values.yaml")
    values = values.get(_WRAPPER, values)
    # Helm hands `global` to every chart.
    values.setdefault("global", {})
    for dependency in _read(folder / "Chart.yaml").get("dependencies") or []:
        key = dependency.get("alias", dependency["name"])
        try:
            theirs = chart_values(charts, dependency["name"])
        except NoValuesError:
            continue
        values[key] = merged(theirs, values.get(key) or {})
    return values


def merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over others as helm does; null takes one away."""
    result = dict(values)
    for name, value in over.items():
        theirs = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(theirs, Mapping):
            result[name] = merged(theirs, value)
        else:
            result[name] = value
    return result


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    return yaml.load(text, yaml.CSafeLoader) or {}
