# SPDX-License-Identifier: Apache-2.0
"""The leaderboard: one self-contained page with the tables and plots of an evaluation."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from rca_engine.evaluation.summary import ALL, LEVELS
from rcalab_common.files import write_text
from rcalab_common.html import json_block, page

if TYPE_CHECKING:
    from rca_engine.evaluation.evaluate import Evaluation

_TOLD = {
    "alert": "the time of the alert",
    "none": "no time: each method finds the incident itself",
    "oracle": "the fault's true time, for comparison with published tables only",
}
_LEVEL_TITLES = {"component": "By component", "metric": "By component and metric"}

_NONE = "\N{EN DASH}"
_SHOWN_FAILURES = 50
_SWEPT = 8
"""Methods that a plot of lines can hold before its lines can't be told apart."""


def write_leaderboard(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all."""
    from plotly.offline import get_plotlyjs

    summary = evaluation.summary
    figures = _figures(summary) if len(summary) else {}
    body = _template().render(
        dataset=evaluation.dataset,
        layout=evaluation.format_name,
        told=_TOLD[evaluation.options.time],
        cases=evaluation.runs["case"].nunique(),
        runs=len(evaluation.runs),
        budget_s=evaluation.options.budget_s,
        seed=evaluation.options.seed,
        boards=_boards(summary) if len(summary) else [],
        plots=[(key, figure["title"]) for key, figure in figures.items()],
        grids=_grids(summary) if len(summary) else [],
        failures=_failures(evaluation),
        failure_count=len(evaluation.failures),
        left_out=sorted(evaluation.left_out.items()),
    )
    drawn = {key: figure["plotly"] for key, figure in figures.items()}
    write_text(
        path,
        page(
            f"Leaderboard · {Path(evaluation.dataset).name}",
            f"{body}\n{json_block('figures', drawn)}",
            style=_static("leaderboard.css"),
            scripts=[get_plotlyjs(), _static("leaderboard.js")] if drawn else [],
        ),
    )


def widest(summary: pd.DataFrame, level: str) -> pd.DataFrame:
    """Return the rows of a level that pool the most, for every system apart where several are.

    Systems are never pooled here; faults are, for the tables by fault stand beside them.
    """
    rows = summary[(summary["level"] == level) & (summary["system"] != ALL)]
    pooled = rows.groupby("system")["fault"].transform(lambda faults: (faults == ALL).any())
    return rows[(rows["fault"] == ALL) | ~pooled]


def _boards(summary: pd.DataFrame) -> list[dict[str, Any]]:
    boards = []
    for level in LEVELS:
        for (system, late_s), rows in _split(widest(summary, level), ["system", "late_s"]):
            ranked = rows.sort_values(["avg5", "method"], ascending=[False, True])
            first = ranked.iloc[0]
            late = f", told {late_s:g} s late" if late_s else ""
            boards.append(
                {
                    "title": f"{_LEVEL_TITLES[level]} · {system}{late}",
                    "cases": int(first["cases"]),
                    "rows": [_board_row(row) for row in _records(ranked)],
                    "references": [
                        {
                            "name": name,
                            **{
                                each: _share(first[f"{key}_{each}"])
                                for each in ("ac1", "ac3", "ac5", "avg5", "mrr")
                            },
                        }
                        for key, name in (
                            ("chance", "chance"),
                            ("constant", "best constant guess"),
                            ("hindsight", "the same in hindsight"),
                        )
                    ],
                }
            )
    return boards


def _split(table: pd.DataFrame, by: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    for key, rows in table.groupby(by):
        yield (key if isinstance(key, tuple) else (key,)), rows


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _board_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": row["method"],
        **{key: _share(row[key]) for key in ("ac1", "ac3", "ac5", "avg5", "mrr")},
        "interval": f"{_share(row['avg5_low'])} to {_share(row['avg5_high'])}",
        "lift": f"{row['lift_avg5']:.1f}",
        # An interval that holds what somebody reaches who never looks at a case proves nothing.
        "proven": row["avg5_low"]
        > max(row[f"{name}_avg5"] for name in ("chance", "constant", "hindsight")),
        "specificity": _share(row["specificity"]),
        "untold": _share(row["specificity_untold"]),
        "seconds": _figure(row["seconds_median"]),
        "memory": _figure(row["memory_mib_max"]),
        "failed": int(row["failed"]),
        "degraded": int(row["degraded"]),
    }


def _grids(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table of Avg@5 for each level and lateness: methods by system and fault."""
    grids = []
    for level in LEVELS:
        rows = summary[summary["level"] == level]
        for (late_s,), part in _split(rows, ["late_s"]):
            groups = sorted(set(zip(part["system"], part["fault"], strict=True)))
            value: dict[tuple[str, str, str], dict[str, Any]] = {
                (row["method"], row["system"], row["fault"]): row for row in _records(part)
            }
            methods = sorted(part["method"].unique())
            late = f", told {late_s:g} s late" if late_s else ""
            grids.append(
                {
                    "title": f"Avg@5 {_LEVEL_TITLES[level].lower()}{late}",
                    "groups": [
                        f"{'all systems' if system == ALL else system}, "
                        f"{'all faults' if fault == ALL else fault}"
                        for system, fault in groups
                    ],
                    "rows": [
                        (method, [_cell(value.get((method, *group))) for group in groups])
                        for method in methods
                    ],
                }
            )
    return grids


def _cell(row: dict[str, Any] | None) -> dict[str, str]:
    if row is None:
        return {"text": _NONE, "title": "", "shade": "0"}
    said = (
        f"{int(row['cases'])} cases, 95 % interval {_share(row['avg5_low'])} to "
        f"{_share(row['avg5_high'])}, chance {_share(row['chance_avg5'])}"
    )
    return {"text": _share(row["avg5"]), "title": said, "shade": f"{row['avg5']:.2f}"}


def _failures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return each kind of failure once, with its cases counted."""
    failures = evaluation.failures
    if failures.empty:
        return []
    counted = failures.groupby(["method", "part", "reason"], sort=True)["case"].agg(["size", "min"])
    rows = counted.reset_index().sort_values(["size", "method"], ascending=[False, True])
    return [
        {
            "method": row["method"],
            "part": row["part"],
            "reason": row["reason"],
            "count": int(row["size"]),
            "example": row["min"],
        }
        for row in _records(rows.head(_SHOWN_FAILURES))
    ]


def _figures(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    for number, (system, rows) in enumerate(widest(summary, "component").groupby("system")):
        on_time = rows[rows["late_s"] == rows["late_s"].min()]
        figures[f"accuracy-{number}"] = {
            "title": f"{system}: Avg@5 by component, with its 95 % interval",
            "plotly": _accuracy(on_time),
        }
        figures[f"cost-{number}"] = {
            "title": f"{system}: what an answer costs, and what it is worth",
            "plotly": _cost(on_time),
        }
        if len(set(rows["late_s"])) > 1:
            figures[f"late-{number}"] = {
                "title": f"{system}: Avg@5 when the time told is late",
                "plotly": _sweep(rows),
            }
    return figures


def _accuracy(rows: pd.DataFrame) -> dict[str, Any]:
    rows = rows.sort_values(["avg5", "method"], ascending=[True, False])
    names = [html.escape(name) for name in rows["method"]]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": _numbers(rows["avg5"]),
        "y": names,
        "marker": {"color": "var(--series-1)", "size": 9},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": _numbers(rows["avg5_high"] - rows["avg5"]),
            "arrayminus": _numbers(rows["avg5"] - rows["avg5_low"]),
            "color": "var(--series-1)",
            "thickness": 1.5,
        },
        "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
    }
    layout = _layout(max(180, 26 * len(names) + 70), x="Avg@5")
    layout["xaxis"]["range"] = [0, 1.02]
    layout["yaxis"] |= {"automargin": True, "type": "category"}
    layout["shapes"] = [
        _level(float(rows["chance_avg5"].iloc[0]), "var(--muted)", "dot"),
        _level(float(rows["hindsight_avg5"].iloc[0]), "var(--series-2)", "dash"),
    ]
    return {"data": [dots], "layout": layout}


def _cost(rows: pd.DataFrame) -> dict[str, Any]:
    rows = rows[rows["seconds_median"].notna()]
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "x": _numbers(rows["seconds_median"].clip(lower=1e-4)),
        "y": _numbers(rows["avg5"]),
        "text": [html.escape(name) for name in rows["method"]],
        "textposition": "top center",
        "textfont": {"size": 10},
        "marker": {"color": "var(--series-1)", "size": 8},
        "hovertemplate": "%{text}: %{x:.3~g} s, Avg@5 %{y:.2f}<extra></extra>",
    }
    layout = _layout(340, x="median seconds a case", y="Avg@5")
    layout["xaxis"]["type"] = "log"
    layout["yaxis"]["range"] = [0, 1.08]
    return {"data": [dots], "layout": layout}


def _sweep(rows: pd.DataFrame) -> dict[str, Any]:
    best = rows.groupby("method")["avg5"].max().sort_values(ascending=False).index[:_SWEPT]
    colors = ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--alert)"]
    data = []
    for at, method in enumerate(best):
        own = rows[rows["method"] == method].sort_values("late_s")
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": html.escape(str(method)),
                "x": _numbers(own["late_s"]),
                "y": _numbers(own["avg5"]),
                "line": {
                    "color": colors[at % len(colors)],
                    "dash": "solid" if at < len(colors) else "dot",
                },
                "hovertemplate": "%{y:.2f}",
            }
        )
    layout = _layout(320, x="seconds late", y="Avg@5")
    layout["yaxis"]["range"] = [0, 1.05]
    return {"data": data, "layout": layout | {"showlegend": True, "hovermode": "x unified"}}


def _layout(height: int, *, x: str, y: str = "") -> dict[str, Any]:
    axis = {"color": "var(--muted)", "gridcolor": "var(--grid)", "zeroline": False}
    return {
        "height": height,
        "margin": {"l": 48, "r": 16, "t": 16, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "var(--ink)"},
        "showlegend": False,
        "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--line)"},
        "xaxis": axis | {"title": {"text": x}},
        "yaxis": axis | {"title": {"text": y}},
    }


def _level(x: float, color: str, dash: str) -> dict[str, Any]:
    line = {"color": color, "width": 1.5, "dash": dash}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "line": line}


def _numbers(values: pd.Series) -> list[float | None]:
    return [float(f"{each:.5g}") if math.isfinite(each) else None for each in values]


def _share(value: float) -> str:
    return _NONE if pd.isna(value) else f"{value:.2f}"


def _figure(value: float) -> str:
    return _NONE if pd.isna(value) else f"{value:.3g}"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rca_engine.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("leaderboard.html.j2")


def _static(name: str) -> str:
    return resources.files(__package__).joinpath("static", name).read_text("utf-8")
