# SPDX-License-Identifier: Apache-2.0
"""Plotly figures over one time axis, as Plotly's own JSON: plain dictionaries and lists.

Colours are CSS variables (``var(--series-1)``), which ``charts.js`` resolves when it draws, so that
one page serves light and dark. Text given to Plotly is escaped: it reads a subset of HTML.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_engine.case import Case
from rca_engine.model import NS
from rca_engine.report.words import seconds

Floats = npt.NDArray[np.float64]
Trace = dict[str, Any]


@dataclass(frozen=True)
class TimeAxis:
    """The time that every chart of a report shares, in seconds since the start of the run.

    ``fault`` is the fault window, to the end of the run where no revert was verified; ``alert`` the
    client's first SLO breach. Each is None where there was none.
    """

    start_ns: int
    length_s: float
    step_s: float
    fault: tuple[float, float] | None
    alert: float | None

    @classmethod
    def of(cls, case: Case) -> Self:
        """Return the time axis of a case."""
        start_ns, end_ns = case.info.window.start_ns, case.info.window.end_ns
        window = case.truth.fault_window if case.truth else None
        return cls(
            start_ns=start_ns,
            length_s=case.info.window.seconds,
            step_s=case.info.step_s,
            fault=window and ((window[0] - start_ns) / NS, ((window[1] or end_ns) - start_ns) / NS),
            alert=(case.alert.time_ns - start_ns) / NS if case.alert else None,
        )

    def grid(self) -> Floats:
        """Return the step grid from the start to the end, shape (steps,)."""
        return np.arange(0.0, self.length_s + self.step_s / 2, self.step_s)

    def elapsed(self, ns: pd.Series[Any]) -> Floats:
        """Return epoch nanoseconds as seconds since the start, NaN where there is none."""
        # Subtracting before the division keeps what a double would lose of an epoch in ns.
        since = ns.astype("Int64") - self.start_ns
        return since.to_numpy(dtype=float, na_value=np.nan) / NS


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
    axis: TimeAxis, data: list[Trace], unit: str, *, height: int, from_zero: bool = True
) -> dict[str, Any]:
    """Return a figure of ``data`` with the fault window and the alert marked.

    Parameters
    ----------
    axis
        The report's time axis.
    data
        Traces, the first at the bottom.
    unit
        Of the vertical axis; empty for a count.
    height
        In pixels; the width follows the page.
    from_zero
        Whether the vertical axis starts at zero.
    """
    plain = {"color": "var(--muted)", "gridcolor": "var(--grid)", "zeroline": False}
    return {
        "data": data,
        "layout": {
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
                "range": [0, axis.length_s],
                "ticksuffix": " s",
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
            "shapes": _marks(axis),
            "annotations": [_unit_label(unit)],
        },
    }


def _unit_label(unit: str) -> dict[str, Any]:
    """Return the unit above the vertical axis: beside it, it would run into the numbers."""
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "right", "xshift": -4}
    style = {"showarrow": False, "yanchor": "bottom", "font": {"color": "var(--muted)", "size": 11}}
    return place | style | {"text": html.escape(unit)}


def _marks(axis: TimeAxis) -> list[dict[str, Any]]:
    tall = {"yref": "paper", "y0": 0, "y1": 1}
    marks: list[dict[str, Any]] = []
    if axis.fault is not None:
        band = {"type": "rect", "x0": axis.fault[0], "x1": axis.fault[1], "layer": "below"}
        marks.append(tall | band | {"fillcolor": "var(--band)", "line": {"width": 0}})
    if axis.alert is not None:
        style = {"color": "var(--alert)", "width": 1.5, "dash": "dot"}
        marks.append(tall | {"type": "line", "x0": axis.alert, "x1": axis.alert, "line": style})
    return marks


def marks_key(axis: TimeAxis) -> list[tuple[str, str]]:
    """Return what the marks of every chart mean, as pairs of CSS class and text."""
    keys = []
    if axis.fault is not None:
        keys.append(("band", f"fault window, {seconds(axis.fault[0])} to {seconds(axis.fault[1])}"))
    if axis.alert is not None:
        keys.append(("alert", f"alert: the client's first SLO breach, {seconds(axis.alert)}"))
    return keys


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Return values that JSON has, rounded to a tenth of a millisecond of a run or finer.

    Seven significant digits are more than a screen shows and halve the page.
    """
    array = np.asarray(list(values), dtype=float)
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in array]
