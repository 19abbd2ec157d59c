# SPDX-License-Identifier: Apache-2.0
"""Charts of an HTML page, as Plotly's own JSON: plain dictionaries and lists.

Colours are CSS variables (``var(--series-1)``), which ``charts.js`` resolves when it draws, so that
one page serves light and dark. Text given to Plotly is escaped: it reads a subset of HTML. Plotly's
script itself comes from whoever writes the page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

Trace = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """One chart: the figure that Plotly draws, and the words around it.

    ``keys`` are pairs of CSS class and meaning; ``summary`` is for those who can't see the chart.
    """

    id: str
    title: str
    subtitle: str
    summary: str
    keys: tuple[tuple[str, str], ...]
    figure: dict[str, Any]


def style() -> str:
    """Return the CSS of charts and their keys."""
    return _asset("charts.css")


def script() -> str:
    """Return the JavaScript that draws the page's data block ``figures`` with Plotly."""
    return _asset("charts.js")


def line(
    name: str,
    x: Iterable[float],
    y: Iterable[float],
    color: str,
    *,
    hover: str = "%{y:.3~f}",
    dash: str = "solid",
    fill: bool = False,
) -> Trace:
    """Return one line; NaN breaks it. ``hover`` is Plotly's template, None for no hover."""
    trace: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": html.escape(name),
        "x": _numbers(x),
        "y": _numbers(y),
        "line": {"color": f"var({color})", "width": 1.75, "dash": dash},
        "hovertemplate": hover,
    }
    if fill:
        trace |= {"fill": "tozeroy", "opacity": 0.9}
    return trace


def level(x: Iterable[float], y: float, color: str, *, dash: str) -> Trace:
    """Return a horizontal line at ``y`` that does not answer to the pointer."""
    ends = list(x)
    return line("", ends, [y] * len(ends), color, dash=dash) | {
        "hovertemplate": None,
        "hoverinfo": "skip",
    }


def dots(x: Iterable[float], y: Iterable[float], color: str) -> Trace:
    """Return a cloud of small points that does not answer to the pointer."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": _numbers(x),
        "y": _numbers(y),
        "marker": {"color": f"var({color})", "size": 4, "opacity": 0.6},
        "hoverinfo": "skip",
    }


def figure(
    data: list[Trace],
    unit: str,
    *,
    height: int,
    x_range: tuple[float, float],
    x_suffix: str = " s",
    marks: Sequence[dict[str, Any]] = (),
    from_zero: bool = True,
    axis: str = "time",
) -> dict[str, Any]:
    """Return a figure of ``data``.

    Parameters
    ----------
    data
        Traces, the first at the bottom.
    unit
        Of the vertical axis; empty for a count.
    height
        In pixels; the width follows the page.
    x_range, x_suffix
        Ends of the horizontal axis, and what follows its numbers.
    marks
        See :func:`band` and :func:`moment`.
    from_zero
        Whether the vertical axis starts at zero.
    axis
        Charts of a page with the same name here zoom and point together.
    """
    plain = {"color": "var(--muted)", "gridcolor": "var(--grid)", "zeroline": False}
    return {
        "data": data,
        "layout": {
            "meta": {"axis": axis},
            "height": height,
            # Equal margins on every chart keep their time axes in line with each other.
            "margin": {"l": 48, "r": 12, "t": 20, "b": 30},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": "var(--ink)"},
            "showlegend": False,
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--line)"},
            "xaxis": plain
            | {
                "range": list(x_range),
                "ticksuffix": x_suffix,
                "hoverformat": ".1f",
                "showspikes": True,
                "spikemode": "across",
                "spikethickness": 1,
                "spikedash": "solid",
                "spikecolor": "var(--muted)",
            },
            "yaxis": plain
            | {
                "rangemode": "tozero" if from_zero else "normal",
                "nticks": 5,
                "exponentformat": "SI",
            },
            "shapes": list(marks),
            "annotations": [_unit_label(unit)],
        },
    }


def band(start: float, end: float) -> dict[str, Any]:
    """Return a band over the whole height, for a window of time."""
    shape = {"type": "rect", "x0": start, "x1": end, "layer": "below"}
    return _TALL | shape | {"fillcolor": "var(--band)", "line": {"width": 0}}


def moment(at: float) -> dict[str, Any]:
    """Return a dotted line over the whole height, for an alert."""
    style = {"color": "var(--alert)", "width": 1.5, "dash": "dot"}
    return _TALL | {"type": "line", "x0": at, "x1": at, "line": style}


_TALL = {"yref": "paper", "y0": 0, "y1": 1}


def _unit_label(unit: str) -> dict[str, Any]:
    """Return the unit above the vertical axis: beside it, it would run into the numbers."""
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "right", "xshift": -4}
    style = {"showarrow": False, "yanchor": "bottom", "font": {"color": "var(--muted)", "size": 11}}
    return place | style | {"text": html.escape(unit)}


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Return values that JSON has, rounded to a tenth of a millisecond of a run or finer.

    Seven significant digits are more than a screen shows and halve the page.
    """
    return [float(f"{v:.7g}") if math.isfinite(v) else None for v in map(float, values)]


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
