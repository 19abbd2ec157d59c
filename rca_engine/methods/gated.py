# SPDX-License-Identifier: Apache-2.0
"""Gated: the source that is surprised decides, and the others keep silent.

Logs carry faults of code, metrics faults of resources, traces both a little. Averaging their
rankings lets the sources that saw nothing outvote the one that did; on Nezha's Train Ticket equal
weights find no root cause at all. Here each source scores the components on its own and divides by
what chance would give it (``_surprise``). A source is heard if its largest score is above
``threshold`` times that; a component is as suspect as the most surprised source that is heard says.
If none is, no fault was found.

Own method of this package; it follows no paper. What its parts come from: ``_surprise``.
"""

from __future__ import annotations

from rca_engine.case import CaseView
from rca_engine.errors import MethodError
from rca_engine.methods import method
from rca_engine.methods._periods import Periods, periods
from rca_engine.methods._surprise import Surprise, in_logs, in_metrics, in_traces
from rca_engine.methods._traces import Spans, spans_of
from rca_engine.methods._windows import WindowOptions
from rca_engine.ranking import Candidate, Context, Ranking


@method(
    "gated",
    sources={"metrics", "logs", "traces"},
    paper="none: own method of rca_engine",
)
def rank(
    case: CaseView,
    context: Context,
    *,
    threshold: float = 1.0,
    guard_s: float = WindowOptions.guard_s,
    horizon_s: float | None = WindowOptions.horizon_s,
) -> Ranking:
    """Rank components by the source that is most surprised; sources that are not are not heard."""
