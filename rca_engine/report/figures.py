# SPDX-License-Identifier: Apache-2.0
"""The one time axis of a report's charts, and what is marked on all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_engine.case import Case
from rca_engine.model import NS
from rcalab_common import charts
from rcalab_common.words import seconds

Floats = npt.NDArray[np.float64]


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


def figure(
    axis: TimeAxis, data: list[charts.Trace], unit: str, *, height: int, from_zero: bool = True
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
    marks = []
    if axis.fault is not None:
        marks.append(charts.band(*axis.fault))
    if axis.alert is not None:
        marks.append(charts.moment(axis.alert))
    return charts.figure(
        data,
        unit,
        height=height,
        x_range=(0, axis.length_s),
        marks=marks,
        from_zero=from_zero,
    )


def marks_key(axis: TimeAxis) -> list[tuple[str, str]]:
    """Return what the marks of every chart mean, as pairs of CSS class and text."""
    keys = []
    if axis.fault is not None:
        keys.append(("band", f"fault window, {seconds(axis.fault[0])} to {seconds(axis.fault[1])}"))
    if axis.alert is not None:
        keys.append(("alert", f"alert: the client's first SLO breach, {seconds(axis.alert)}"))
    return keys
