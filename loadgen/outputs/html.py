# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one page for one run, with the marked windows on every chart."""

from __future__ import annotations

from pathlib import Path

from loadgen import page
from loadgen.outputs.output import Output
from loadgen.outputs.run_charts import run_charts
from loadgen.report import window_words
from loadgen.result import Result

NAME = "report.html"


def check() -> None:
    """Raise if a package is missing that pages need."""
    page.check(NAME)


def write(result: Result) -> Path:
    """Write the file into a run's folder."""
    summary = result.summary
    profile = summary["profile"]
    charts, marks = run_charts(result)
    return page.write_page(
        result.folder / NAME,
        f"{profile['model']} · {summary['start'][:19]}Z",
        "report.html.j2",
        charts,
        marks=marks,
        window_words=window_words,
        summary=summary,
        profile=profile,
        load=_load(result),
        assertions=summary.get("assertions", []),
    )


def _load(result: Result) -> str:
    """Say in a few words what was asked for."""
    profile = result.summary["profile"]
    if profile["closed"] is not None:
        return f"{profile['closed']['users']} users"
    if profile["rate_per_s"] is not None:
        return f"{profile['rate_per_s']:g} requests/s, {profile['arrivals']['distribution']}"
    if profile["bursts"] is not None:
        return f"bursts of {profile['bursts']['size']} every {profile['bursts']['every_s']:g} s"
    return str(profile["curve"] or f"trace {profile['trace']['path']}")


OUTPUT = Output("html", NAME, check, write)
