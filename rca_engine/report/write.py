# SPDX-License-Identifier: Apache-2.0
"""Read a case and its diagnoses, and write ``report.html`` beside them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from rca_engine.case import Case
from rca_engine.model import CaseInfo
from rca_engine.report.charts import client_charts, metric_charts
from rca_engine.report.figures import TimeAxis, marks_key
from rca_engine.report.sections import (
    completeness_section,
    ranking_tables,
    run_facts,
    truth_section,
)
from rca_engine.report.verdict import verdict
from rcalab_common import charts
from rcalab_common.files import write_text
from rcalab_common.html import json_block, page

_FIRST_CHOICE = "baro"
"""Whose strongest metrics are drawn, if it has an answer."""


def write_report(case_dir: Path | str) -> Path:
    """Write the report of a case to ``<case_dir>/report.html``, whole or not at all.

    Parts that the case has not (truth, diagnosis, requests) are said in words.

    Parameters
    ----------
    case_dir
        A case of format 1, with or without ``diagnosis/``.

    Returns
    -------
    Path
        The page: it needs no other file and asks nothing of any server.

    Raises
    ------
    CaseError
        If there is no complete case, or a part of it is broken.
    """
    case = Case.load(case_dir)
    report = case.path / "report.html"
    write_text(report, _render(case, case.diagnoses()))
    return report


def _render(case: Case, diagnoses: Mapping[str, dict[str, Any]]) -> str:
    info, truth = case.info, case.truth
    axis = TimeAxis.of(case)
    start_ns = axis.start_ns
    drawn = _drawn_diagnosis(diagnoses)
    client = client_charts(case, axis)
    strongest = metric_charts(case, axis, drawn) if drawn else []
    body = (
        environment()
        .get_template("report.html.j2")
        .render(
            info=info,
            cautions=cautions(info),
            verdict=verdict(case, diagnoses),
            facts=run_facts(info, truth),
            marks=marks_key(axis),
            client=client,
            strongest=strongest,
            drawn=drawn,
            rankings=ranking_tables(diagnoses, truth, start_ns),
            truth=truth_section(truth, start_ns) if truth else None,
            completeness=completeness_section(case),
        )
    )
    figures = {chart.id: chart.figure for chart in [*client, *strongest]}
    return page(
        f"{info.scenario} · {info.run_id}",
        f"{body}\n{json_block('figures', figures)}",
        style=f"{charts.style()}\n{static('report.css')}",
        # Plotly in the page costs 5 MB a report; it buys zoom and values under the pointer that
        # still work from an archived file, years later and without a network.
        scripts=[get_plotlyjs(), charts.script()] if figures else [],
    )


def _drawn_diagnosis(diagnoses: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first choice among the diagnoses that rank metrics, else the first by name."""
    ranked = {name: each for name, each in diagnoses.items() if each["metrics"]}
    return ranked.get(_FIRST_CHOICE) or next(iter(ranked.values()), None)


def cautions(info: CaseInfo) -> list[str]:
    """Return what a reader must know before anything else on the page."""
    if info.engine == "vllm":
        return list(info.notes)
    engine = f"The engine was “{info.engine}”, not vLLM: nothing here says how vLLM behaves."
    return [engine, *info.notes]


def environment() -> jinja2.Environment:
    """Return where the pages' templates are; it escapes whatever they are given."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("rca_engine.report"), jinja2.PackageLoader("rcalab_common")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def static(name: str) -> str:
    """Return a style sheet or a script of this package."""
    return resources.files("rca_engine.report").joinpath("static", name).read_text("utf-8")
