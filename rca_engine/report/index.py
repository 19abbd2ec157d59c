# SPDX-License-Identifier: Apache-2.0
"""The index page of an experiment: a row and a link for each run, and the totals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from rca_engine.report.experiment import Answer, Experiment, Measured, read_experiment
from rca_engine.report.write import cautions, environment, static
from rcalab_common.files import write_text
from rcalab_common.html import page
from rcalab_common.times import format_utc
from rcalab_common.words import MISSING, number, seconds

_FILE = "index.html"
_LEADERBOARD = "evaluation/leaderboard.html"
_TOP = 3
_TOLD = {
    "alert": "the alert's time",
    "none": "no time",
    "oracle": "the fault's true time, for comparison only",
}


@dataclass(frozen=True)
class Cell:
    """What a method said of a run, and whether that was ``good``, ``bad`` or neither."""

    text: str
    verdict: str


@dataclass(frozen=True)
class Row:
    """One run of the page."""

    run: str
    link: str | None
    truth: str
    outcome: str
    alert: str
    cells: list[Cell]


@dataclass(frozen=True)
class Total:
    """How one method did over all runs with a fault that counts, and over the shams."""

    method: str
    first: str
    among: str
    nothing: str
    failed: str
    quiet: str


@dataclass(frozen=True)
class LoadRow:
    """What the client saw of a run without a fault."""

    run: str
    link: str | None
    requests: str
    success: str
    ttft: str
    latency: str
    tokens: str
    alert: str


def write_index(folder: Path | str) -> Path:
    """Write ``<folder>/index.html``, whole or not at all.

    Parameters
    ----------
    folder
        An experiment: ``<results>/<experiment>``.

    Returns
    -------
    Path
        The page. It needs no other file; its links lead to the reports below the folder.

    Raises
    ------
    CaseError
        If it holds neither a plan nor a case, or a part of it is broken.
    """
    root = Path(folder)
    experiment = read_experiment(root)
    body = (
        environment()
        .get_template("index.html.j2")
        .render(
            name=experiment.name,
            facts=facts(experiment),
            cautions=experiment_cautions(experiment),
            methods=experiment.methods,
            faults=[_row(root, run, experiment.methods) for run in experiment.of_kind("fault")],
            shams=[_row(root, run, experiment.methods) for run in experiment.of_kind("sham")],
            loads=[_load_row(root, run) for run in experiment.of_kind("plain")],
            others=[_row(root, run, experiment.methods) for run in experiment.of_kind("unknown")],
            totals=totals(experiment),
            missing=experiment.missing,
            set_aside=experiment.set_aside,
            leaderboard=_LEADERBOARD if (root / _LEADERBOARD).is_file() else None,
            top=_TOP,
        )
    )
    write_text(
        root / _FILE, page(f"Experiment · {experiment.name}", body, style=static("report.css"))
    )
    return root / _FILE


def facts(experiment: Experiment) -> list[tuple[str, str]]:
    """Return what was run, as pairs of term and value."""
    infos = [run.case.info for run in experiment.measured]
    pairs = [("Measured runs", f"{len(infos)} of {len(infos) + len(experiment.missing)}")]
    if experiment.set_aside:
        pairs.append(("Attempts set aside", str(len(experiment.set_aside))))
    if experiment.plan is not None:
        pairs += [("Order", experiment.plan["order"]), ("Seed", str(experiment.plan["seed"]))]
    if infos:
        start = min(info.window.start_ns for info in infos)
        end = max(info.window.end_ns for info in infos)
        pairs += [
            ("Engine", ", ".join(sorted({info.engine for info in infos}))),
            ("Platform", ", ".join(sorted({info.platform for info in infos}))),
            ("First run", _clock(start)),
            ("Last run ended", _clock(end)),
            ("Under load", seconds(sum(info.window.seconds for info in infos))),
        ]
    told = sorted({each.told for run in experiment.measured for each in run.answers.values()})
    if told:
        pairs.append(("Methods were told", ", ".join(_TOLD[each] for each in told)))
    return pairs


def experiment_cautions(experiment: Experiment) -> list[str]:
    """Return what a reader must know before anything else on the page."""
    said = [each for run in experiment.measured for each in cautions(run.case.info)]
    if experiment.missing:
        said.append(f"{len(experiment.missing)} planned runs have no case; they are listed below.")
    return list(dict.fromkeys(said))


def totals(experiment: Experiment) -> list[Total]:
    """Sum up each method over the runs whose fault was effective, and over the shams."""
    counted = [
        run
        for run in experiment.of_kind("fault")
        if run.case.truth is not None and run.case.truth.outcome == "effective"
    ]
    shams = experiment.of_kind("sham")
    return [
        Total(
            method=method,
            first=_share(counted, method, lambda a: a.rank == 1),
            among=_share(counted, method, lambda a: a.rank is not None and a.rank <= _TOP),
            nothing=_share(counted, method, lambda a: a.found_nothing),
            failed=_share([*counted, *shams], method, lambda a: a.status == "failed"),
            quiet=_share(shams, method, lambda a: a.found_nothing),
        )
        for method in experiment.methods
    ]


def _share(runs: Sequence[Measured], method: str, holds: Callable[[Answer], bool]) -> str:
    asked = [run.answers[method] for run in runs if method in run.answers]
    return f"{sum(map(holds, asked))} of {len(asked)}" if asked else MISSING


def _row(root: Path, run: Measured, methods: Sequence[str]) -> Row:
    return Row(
        run=run.id,
        link=_link(root, run),
        truth=run.truth,
        outcome=run.case.truth.outcome.replace("_", " ") if run.case.truth else MISSING,
        alert=MISSING if run.alert_after_s is None else seconds(run.alert_after_s),
        cells=[_cell(run, run.answers.get(method)) for method in methods],
    )


def _cell(run: Measured, answer: Answer | None) -> Cell:
    if answer is None:
        return Cell("not asked", "")
    if answer.status == "failed":
        return Cell("failed", "bad")
    judged = run.kind in ("fault", "sham")
    if answer.first is None:
        return Cell("nothing", ("good" if run.kind == "sham" else "bad") if judged else "")
    if run.kind == "fault" and answer.rank != 1:
        place = f"truth is #{answer.rank}" if answer.rank else "truth is not named"
        return Cell(f"{answer.first} ({place})", "bad")
    return Cell(answer.first, ("bad" if run.kind == "sham" else "good") if judged else "")


def _load_row(root: Path, run: Measured) -> LoadRow:
    requests = run.case.table("requests")
    requests = requests[requests["phase"] == "measured"]
    good = requests[requests["outcome"] == "success"]
    share = len(good) / len(requests) if len(requests) else float("nan")
    length_s = run.case.info.window.seconds
    return LoadRow(
        run=run.id,
        link=_link(root, run),
        requests=str(len(requests)),
        success=f"{share:.1%}",
        ttft=_quantiles(good["response_ttft_ms"]),
        latency=_quantiles(good["response_latency_ms"]),
        tokens=number(float(good["output_tokens"].fillna(0).sum()) / length_s),
        alert=MISSING if run.alert_after_s is None else seconds(run.alert_after_s),
    )


def _quantiles(values: pd.Series) -> str:
    if not len(values):
        return MISSING
    middle, high = values.quantile([0.5, 0.95])
    return f"{number(middle)} / {number(high)} ms"


def _link(root: Path, run: Measured) -> str | None:
    return f"{quote(run.id)}/report.html" if (root / run.id / "report.html").is_file() else None


def _clock(ns: int) -> str:
    return format_utc(ns)[:19].replace("T", " ") + " UTC"
